-- A row here means a deal whose state and visits tell different stories: another current stage,
-- another first entry of a step, another outcome than its last closing; an open visit of a deal
-- that is not open; or a visit that does not lead to the next one. Compute the deals again:
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
        life_number,
        direction,
        next_visit_number is null as is_last,
        coalesce(
            next_visit_number <> visit_number + 1
            or exited_at > next_entered_at
            or (direction in ('still there', 'customer') and next_visit_number is not null)
            or (
                direction in ('advanced', 'skipped ahead', 'moved back')
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

closings as (

    select
        *,
        lead(closing_number) over (partition by deal_id order by closing_number) is null as is_last
    from {{ ref('deal_closings') }}
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
    or (states.current_kpi_name is null) <> (visits.life_number < states.lives_count)
    or (
        (states.status = 'open' and states.current_kpi_name is not null)
        <> (visits.direction = 'still there')
    )
    or (visits.direction = 'customer' and states.status <> 'won')
union all
select
    states.deal_id,
    'was closed otherwise' as difference
from states
left join closings
    on states.deal_id = closings.deal_id and closings.is_last
where
    states.status <> 'open'
    and (
        states.status is distinct from closings.outcome
        or (
            states.status <> 'elsewhere'
            and coalesce(states.won_at, states.lost_at, states.deleted_at)
            is distinct from closings.closed_at
        )
    )
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
