{%- set deal_pipelines, pipeline_stages = ref('deal_pipelines'), ref('pipeline_stages') %}

with

-- The part without rows makes Postgres read each value once, not once for each use: half the time.
changes as (

    select
        *,
        lower(trim(changed_field_key)) as field,
        case
            when lower(trim(changed_field_key)) in ('stage_id', 'user_id', 'lost_reason')
                then {{ read_id('new_value') }}
        end as field_value
    from {{ source('pipedrive_raw', 'deal_changes') }}
    union all
    select
        *,
        cast(null as {{ dbt.type_string() }}) as field,
        cast(null as {{ dbt.type_string() }}) as field_value
    from {{ source('pipedrive_raw', 'deal_changes') }}
    where 1 = 0

),

-- A reason such as None is what an export makes of nothing; a number is the id of an option.
typed_changes as (

    select
        *,
        case
            when field = 'lost_reason' then field_value not in ('', 'null', 'none', 'nan')
            else trim(new_value) <> ''
        end as has_value,
        case
            when field = 'lost_reason' and not {{ matches('field_value', '[0-9]{1,18}') }} then ''
            else 'any'
        end as kind
    from changes

),

-- Where the var pipelines leaves some out: in which pipeline a deal is at that moment.
deal_changes as (

    {% if checked_var('pipelines') -%}
        select
            typed_changes.*,
            pipeline_stages.pipeline_id,
            not pipeline_stages.is_counted as is_elsewhere,
            coalesce(pipeline_stages.is_counted, deal_pipelines.is_counted, false) as is_counted
        from typed_changes
        left join {{ pipeline_stages }} as pipeline_stages
            on
                typed_changes.field = 'stage_id'
                and typed_changes.field_value
                = cast(pipeline_stages.stage_id as {{ dbt.type_string() }})
                and pipeline_stages.pipeline_id is not null
        left join {{ deal_pipelines }} as deal_pipelines
            on
                typed_changes.deal_id = deal_pipelines.deal_id
                and typed_changes.change_time >= deal_pipelines.entered_at
                and (
                    typed_changes.change_time < deal_pipelines.left_at
                    or deal_pipelines.left_at is null
                )
    {%- else -%}
        select
            *,
            cast(null as bigint) as pipeline_id,
            cast(null as boolean) as is_elsewhere,
            true as is_counted
        from typed_changes
    {%- endif %}

),

deal_kpis as (

    select * from {{ ref('deal_kpis') }}

)

-- `other` is the KPI of a field's values that nothing describes; a field without one has no KPIs.
select
    cast(deal_changes.deal_id as bigint) as deal_id,
    coalesce(other.field, deal_changes.field) as field,
    deal_changes.new_value,
    coalesce(
        named.kpi_name,
        -- A change that empties a field is no event: a deal without a reason is not lost.
        case
            when other.field = 'add_time' or deal_changes.has_value
                then other.kpi_name
        end
    ) as kpi_name,
    case
        when named.field_value is not null then named.funnel_step
        when other.field = 'add_time' or deal_changes.has_value
            then other.funnel_step
    end as funnel_step,
    case
        when
            deal_changes.field = 'user_id'
            and {{ matches('deal_changes.field_value', '[0-9]{1,18}') }}
            then cast(deal_changes.field_value as bigint)
    end as user_id,
    deal_changes.change_time,
    {{ local_date('deal_changes.change_time') }} as date,
    coalesce(deal_changes.pipeline_id, named.pipeline_id) as pipeline_id,
    coalesce(
        deal_changes.is_elsewhere,
        case when named.pipeline_id is not null then false end
    ) as is_elsewhere,
    coalesce(
        named.kpi_number,
        case
            when other.field = 'add_time' or deal_changes.has_value
                then other.kpi_number
        end
    ) as kpi_number
from deal_changes
left join deal_kpis as other
    on
        deal_changes.field = other.field
        and deal_changes.kind = coalesce(other.field_value, 'any')
        and coalesce(other.field_value, '') = ''
        and deal_changes.is_counted
left join deal_kpis as named
    on
        other.field = named.field
        and deal_changes.field_value = named.field_value
        and named.field_value <> ''
