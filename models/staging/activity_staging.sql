{%- set pipelines = checked_var('pipelines') %}
{%- set deal_pipelines = ref('deal_pipelines') %}

with

activities as (

    select
        *,
        lower(trim(type)) as activity_type
    from {{ source('pipedrive_raw', 'activity') }}

),

activity_kpis as (

    select * from {{ ref('activity_kpis') }}

),

other as (

    select * from activity_kpis
    where activity_type is null

),

-- A type that nobody has described is an activity of the kind `other`, not one that is lost.
named_activities as (

    select
        activities.activity_id,
        cast(activities.deal_id as bigint) as deal_id,
        cast(activities.assigned_to_user as bigint) as user_id,
        activities.activity_type,
        coalesce(named.kpi_name, (select other.kpi_name from other)) as kpi_name,
        case
            when named.activity_type is null then (select other.funnel_step from other)
            else named.funnel_step
        end as funnel_step,
        coalesce(activities.done, false) as is_done,
        activities.due_to,
        {{ local_date('activities.due_to') }} as date,
        coalesce(named.kpi_number, (select other.kpi_number from other)) as kpi_number
    from activities
    left join activity_kpis as named
        on activities.activity_type = named.activity_type

)

{% if pipelines -%}
    -- What is done for a deal in another pipeline counts as nothing.
    select
        named_activities.activity_id,
        named_activities.deal_id,
        named_activities.user_id,
        named_activities.activity_type,
        case when deal_pipelines.is_counted then named_activities.kpi_name end as kpi_name,
        case when deal_pipelines.is_counted then named_activities.funnel_step end as funnel_step,
        named_activities.is_done,
        named_activities.due_to,
        named_activities.date,
        case when deal_pipelines.is_counted then named_activities.kpi_number end as kpi_number
    from named_activities
    left join {{ deal_pipelines }} as deal_pipelines
        on
            named_activities.deal_id = deal_pipelines.deal_id
            and named_activities.due_to >= deal_pipelines.entered_at
            and (
                named_activities.due_to < deal_pipelines.left_at
                or deal_pipelines.left_at is null
            )
{%- else -%}
    select * from named_activities
{%- endif %}
