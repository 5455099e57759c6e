with

deals as (

    select
        deal_id,
        coalesce(min(case when field = 'add_time' then event_at end), min(event_at)) as created_at,
        max(case when is_last then owner_id end) as owner_id,
        max(case when is_last then status end) as status,
        max(attempt_number) as attempts_count,
        max(case when is_last then attempt_ended_at end) as closed_at,
        max(case when is_last then attempt_lost_reason end) as lost_reason,
        count(distinct case when field = 'add_time' then event_at end) as creation_count,
        count(case when status = 'lost' and previous_status <> 'lost' then 1 end) as loss_count,
        max(case when status <> previous_status then event_at end) as status_changed_at
    from {{ ref('deal_events') }}
    where {{ is_deal_of_window() }}
    group by deal_id

),

ranked_visits as (

    select
        *,
        row_number() over (partition by deal_id order by visit_number desc) as recency
    from {{ ref('deal_stage_visits') }}
    where {{ is_deal_of_window() }}

),

furthest_steps as (

    select * from {{ ref('deal_steps') }}
    where
        is_furthest
        and {{ is_deal_of_window() }}

),

last_values as (

    select * from {{ ref('deal_values') }}
    where
        replaced_at is null
        and {{ is_deal_of_window() }}

)

select
    deals.deal_id,
    deals.created_at,
    deals.owner_id,
    deals.status,
    last_visits.kpi_name as current_kpi_name,
    last_visits.funnel_step as current_funnel_step,
    last_visits.step_order as current_step_order,
    last_visits.entered_at as current_step_entered_at,
    furthest_steps.kpi_name as furthest_kpi_name,
    furthest_steps.funnel_step as furthest_funnel_step,
    furthest_steps.step_order as furthest_step_order,
    last_values.value,
    cast(greatest(deals.creation_count, 1) as integer) as lives_count,
    cast(deals.loss_count as integer) as loss_count,
    case when deals.status = 'lost' then deals.closed_at end as lost_at,
    case when deals.status = 'lost' then deals.lost_reason end as lost_reason,
    case when deals.status = 'won' then deals.closed_at end as won_at,
    greatest(last_visits.entered_at, deals.status_changed_at, deals.created_at) as last_moved_at
from deals
left join ranked_visits as last_visits
    on
        deals.deal_id = last_visits.deal_id
        and last_visits.recency = 1
        -- A deal that is open anew was in a stage, but may not be in one yet.
        and (deals.status <> 'open' or deals.attempts_count = last_visits.attempt_number)
left join furthest_steps
    on deals.deal_id = furthest_steps.deal_id
left join last_values
    on deals.deal_id = last_values.deal_id
