-- A row here means a step that a quarter or more of the window's deals reached from a later one:
-- ids of stages may have changed places, or times are wrong. Compare stages with what Pipedrive
-- shows, and ask the step's owner. The vars max_back_ratio and min_step_deals say what is judged.
{{ config(severity='warn') }}

with

funnel_steps as (

    select distinct
        funnel_step,
        step_order
    from {{ ref('funnel_steps') }}

),

stage_moves as (

    select
        deal_staging.funnel_step,
        funnel_steps.step_order,
        lag(funnel_steps.step_order) over (
            partition by deal_staging.deal_id order by deal_staging.change_time
        ) as step_order_before
    from {{ ref('deal_staging') }} as deal_staging
    inner join funnel_steps
        on deal_staging.funnel_step = funnel_steps.funnel_step
    where
        deal_staging.field = 'stage_id'
        and {{ in_test_scope('deal_staging.change_time') }}

)

select
    funnel_step,
    {{ step_owner('funnel_step') }} as owner,
    count(*) as move_count,
    count(case when step_order_before > step_order then 1 end) as from_a_later_step
from stage_moves
group by funnel_step
having
    count(*) >= {{ checked_var('min_step_deals') }}
    and count(case when step_order_before > step_order then 1 end)
    >= {{ checked_var('max_back_ratio') }} * count(*)
