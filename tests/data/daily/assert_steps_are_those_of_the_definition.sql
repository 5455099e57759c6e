-- A row here means months that were counted for a step under another definition of the funnel than
-- that of seeds/funnel_steps.csv. Process them again: `funnel backfill --from FIRST_DAY --to
-- LAST_DAY`.
with

counted_steps as (

    select
        date,
        kpi_name,
        funnel_step
    from {{ ref('daily_activity_stats') }}
    union all
    select
        date,
        kpi_name,
        funnel_step
    from {{ ref('daily_deal_stats') }}
    where field = 'stage_id'

),

funnel_steps as (

    select distinct
        kpi_name,
        funnel_step
    from {{ ref('funnel_steps') }}

)

select
    counted_steps.kpi_name,
    counted_steps.funnel_step,
    funnel_steps.funnel_step as defined_step,
    min(counted_steps.date) as first_day,
    max(counted_steps.date) as last_day
from counted_steps
left join funnel_steps
    on counted_steps.kpi_name = funnel_steps.kpi_name
where counted_steps.funnel_step is distinct from funnel_steps.funnel_step
group by
    counted_steps.kpi_name,
    counted_steps.funnel_step,
    funnel_steps.funnel_step
