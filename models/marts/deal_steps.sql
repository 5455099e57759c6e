with

changes as (

    select
        deal_id,
        field,
        funnel_step,
        change_time
    from {{ ref('deal_staging') }}
    where
        field in ('add_time', 'user_id', 'value', 'stage_id', 'lost_reason', 'status')
        and deal_id is not null
        and {{ is_known('change_time') }}
        and {{ is_deal_of_window() }}

),

activities as (

    select * from {{ ref('activity_staging') }}
    where
        is_done
        and funnel_step is not null
        and {{ is_deal_of_window() }}
        and {{ is_known('due_to') }}

),

entries as (

    select
        deal_id,
        funnel_step,
        change_time as event_at
    from changes
    where
        field = 'stage_id'
        and funnel_step is not null
    union all
    select
        deal_id,
        funnel_step,
        due_to as event_at
    from activities
    -- An activity alone does not make a deal: most of them belong to deals of other exports.
    where deal_id in (select changes.deal_id from changes)

),

-- Several stages may lead to one step.
funnel_steps as (

    select distinct
        funnel_step,
        kpi_name,
        step_order
    from {{ ref('funnel_steps') }}

),

first_entries as (

    select
        entries.deal_id,
        entries.funnel_step,
        funnel_steps.kpi_name,
        funnel_steps.step_order,
        min(entries.event_at) as first_entered_at
    from entries
    inner join funnel_steps
        on entries.funnel_step = funnel_steps.funnel_step
    group by
        entries.deal_id,
        entries.funnel_step,
        funnel_steps.kpi_name,
        funnel_steps.step_order

)

select
    deal_id,
    funnel_step,
    kpi_name,
    step_order,
    first_entered_at,
    lag(funnel_step) over steps as previous_funnel_step,
    first_value(funnel_step) over steps as first_funnel_step,
    lead(funnel_step) over steps is null as is_furthest
from first_entries
window steps as (partition by deal_id order by step_order)
