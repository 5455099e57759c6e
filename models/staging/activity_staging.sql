with

activities as (

    select
        *,
        lower(trim(type)) as activity_type
    from {{ source('pipedrive_raw', 'activity') }}

),

activity_kpis as (

    select * from {{ ref('activity_kpis') }}

)

select
    activities.activity_id,
    activities.deal_id,
    activities.assigned_to_user as user_id,
    activities.activity_type,
    coalesce(named.kpi_name, other.kpi_name) as kpi_name,
    case when named.activity_type is null then other.funnel_step else named.funnel_step end
        as funnel_step,
    coalesce(activities.done, false) as is_done,
    activities.due_to,
    {{ local_date('activities.due_to') }} as date
from activities
left join activity_kpis as named
    on activities.activity_type = named.activity_type
left join activity_kpis as other
    on other.activity_type is null
