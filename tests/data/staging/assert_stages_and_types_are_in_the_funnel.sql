-- A row here means a stage or activity type that leads to no step: it is counted under its own
-- name, outside the funnel. Add it to seeds/funnel_steps.csv if it belongs to a step.
{{ config(severity='warn') }}

select
    'stage' as source_type,
    field_value as source_name,
    kpi_name
from {{ ref('deal_kpis') }}
where
    field = 'stage_id'
    and funnel_step is null
    and field_value is not null
union all
select
    'activity' as source_type,
    activity_type as source_name,
    kpi_name
from {{ ref('activity_kpis') }}
where
    funnel_step is null
    and activity_type is not null
