with

deals as (

    select
        deal_id,
        min(event_at) as created_at,
        max(case when is_last then owner_id end) as owner_id,
        max(case when is_last then status end) as status,
        max(life_number) as lives_count,
        max(case when is_last then attempt_ended_at end) as closed_at,
        max(case when is_last then lost_reason end) as lost_reason,
        count(case when status = 'lost' and is_closing then 1 end) as loss_count,
        max(case when status <> previous_status or is_new_attempt then event_at end)
            as status_changed_at
    from {{ ref('deal_events') }}
    where {{ is_deal_to_compute() }}
    group by deal_id

),

ranked_visits as (

    select
        *,
        row_number() over (partition by deal_id order by visit_number desc) as recency
    from {{ ref('deal_stage_visits') }}
    where {{ is_deal_to_compute() }}

),

furthest_steps as (

    select * from {{ ref('deal_steps') }}
    where
        is_furthest
        and {{ is_deal_to_compute() }}

),

last_values as (

    select * from {{ ref('deal_values') }}
    where
        replaced_at is null
        and {{ is_deal_to_compute() }}

),

account as (

    select min(first_status_at) as first_status_at
    from {{ ref('deal_first_statuses') }}

)

select
    deals.deal_id,
    deals.created_at,
    deals.owner_id,
    last_visits.kpi_name as current_kpi_name,
    last_visits.funnel_step as current_funnel_step,
    last_visits.step_order as current_step_order,
    last_visits.entered_at as current_step_entered_at,
    furthest_steps.kpi_name as furthest_kpi_name,
    furthest_steps.funnel_step as furthest_funnel_step,
    furthest_steps.step_order as furthest_step_order,
    last_values.value,
    deals.lives_count,
    cast(deals.loss_count as integer) as loss_count,
    deals.lost_reason,
    account.first_status_at,
    case deals.status when 'lost after won' then 'won' else deals.status end as status,
    case when deals.status = 'lost' then deals.closed_at end as lost_at,
    case when deals.status in ('won', 'lost after won') then deals.closed_at end as won_at,
    case when deals.status = 'lost after won' then deals.status_changed_at end
        as lost_after_won_at,
    case when deals.status = 'deleted' then deals.closed_at end as deleted_at,
    coalesce(greatest(last_visits.entered_at, deals.status_changed_at), deals.created_at)
        as last_moved_at
from deals
cross join account
-- A deal that was created a second time is in no stage yet, whatever its first life was.
left join ranked_visits as last_visits
    on
        deals.deal_id = last_visits.deal_id
        and last_visits.recency = 1
        and deals.lives_count = last_visits.life_number
left join furthest_steps
    on deals.deal_id = furthest_steps.deal_id
left join last_values
    on deals.deal_id = last_values.deal_id
