-- A row here means a visit that does not lead to the next one of its deal: a gap in their numbers,
-- an overlap, or a direction that is not where the deal went. So entries would not be advanced +
-- skipped ahead + moved back + lost + still there. Compute the deals again:
-- `dbt build --full-refresh --select changed_deals+`.
with

visits as (

    select
        *,
        lead(visit_number) over in_order as next_visit_number,
        lead(entered_at) over in_order as next_entered_at,
        lead(kpi_name) over in_order as following_kpi_name,
        lead(step_order) over in_order as next_step_order,
        max(attempt_number) over (partition by deal_id) as last_attempt_number
    from {{ ref('deal_stage_visits') }}
    where {{ is_tested_deal() }}
    window in_order as (partition by deal_id order by visit_number)

)

select
    deal_id,
    visit_number,
    kpi_name,
    direction,
    entered_at,
    exited_at,
    next_kpi_name
from visits
where
    next_visit_number <> visit_number + 1
    or exited_at > next_entered_at
    or (direction = 'still there' and next_visit_number is not null)
    or (direction = 'lost' and next_kpi_name is not null)
    or (
        direction not in ('still there', 'lost')
        and (exited_at, next_kpi_name) is distinct from (next_entered_at, following_kpi_name)
    )
    or (direction in ('advanced', 'skipped ahead') and next_step_order <= step_order)
    or (direction = 'moved back' and next_step_order > step_order)
