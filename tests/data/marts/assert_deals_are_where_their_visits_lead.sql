-- A row here means a deal whose state and visits tell different stories: another current stage,
-- another first entry of a step, an end that is not that of its last attempt; or a visit that does
-- not lead to the next one, so that entries would not be advanced + skipped ahead + moved back +
-- lost + still there. Compute the deals again:
-- `dbt build --full-refresh --select deal_months+`.
with

ordered_visits as (

    select
        *,
        lead(visit_number) over in_order as next_visit_number,
        lead(entered_at) over in_order as next_entered_at,
        lead(kpi_name) over in_order as following_kpi_name,
        lead(step_order) over in_order as next_step_order
    from {{ ref('deal_stage_visits') }}
    where {{ is_deal_of_window(first_build=checked_var('full_check')) }}
    window in_order as (partition by deal_id order by visit_number)

),

visits as (

    select
        deal_id,
        visit_number,
        kpi_name,
        funnel_step,
        entered_at,
        direction,
        next_visit_number is null as is_last,
        coalesce(
            next_visit_number <> visit_number + 1
            or exited_at > next_entered_at
            or (direction = 'still there' and next_visit_number is not null)
            or (direction = 'lost' and next_kpi_name is not null)
            or (
                direction not in ('still there', 'lost')
                and (
                    exited_at is distinct from next_entered_at
                    or next_kpi_name is distinct from following_kpi_name
                )
            )
            or (direction in ('advanced', 'skipped ahead') and next_step_order <= step_order)
            or (direction = 'moved back' and next_step_order > step_order),
            false
        ) as leads_astray
    from ordered_visits

),

states as (

    select * from {{ ref('deal_states') }}
    where {{ is_deal_of_window(first_build=checked_var('full_check')) }}

),

first_visits as (

    select
        deal_id,
        funnel_step,
        min(entered_at) as entered_at
    from visits
    where funnel_step is not null
    group by deal_id, funnel_step

)

select
    states.deal_id,
    'is elsewhere' as difference
from states
inner join visits
    on states.deal_id = visits.deal_id and visits.is_last
where
    states.current_kpi_name <> visits.kpi_name
    or (
        states.status = 'open' and visits.direction = 'lost' and states.current_kpi_name is not null
    )
    or (states.status = 'lost' and visits.direction <> 'lost')
union all
select
    first_visits.deal_id,
    'entered step ' || first_visits.funnel_step || ' at another time' as difference
from first_visits
left join {{ ref('deal_steps') }} as deal_steps
    on
        first_visits.deal_id = deal_steps.deal_id
        and first_visits.funnel_step = deal_steps.funnel_step
where deal_steps.first_entered_at is distinct from first_visits.entered_at
union all
select
    deal_id,
    'visit ' || visit_number || ' (' || direction || ') does not lead to the next' as difference
from visits
where leads_astray
