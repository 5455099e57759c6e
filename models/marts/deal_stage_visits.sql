with

deal_events as (

    select * from {{ ref('deal_events') }}
    where {{ is_deal_of_window() }}

),

-- A deal is in the stage of its last stage event.
positions as (

    select
        *,
        status = 'lost' and previous_status <> 'lost' as is_loss,
        -- A deal created anew is in no stage yet.
        kpi_name is not null or (
            previous_status <> 'open'
            and status not in ('lost', previous_status)
            and field <> 'add_time'
        ) as is_arrival,
        count(kpi_name) over (partition by deal_id order by event_number) as stage_number
    from deal_events

),

arrivals_and_losses as (

    select
        deal_id,
        event_number,
        event_at,
        owner_id,
        attempt_number,
        attempt_outcome,
        attempt_ended_at,
        attempt_lost_reason,
        is_loss,
        is_arrival,
        max(kpi_name) over place as kpi_name,
        max(funnel_step) over place as funnel_step,
        max(step_order) over place as step_order,
        max(stage_rank) over place as stage_rank
    from positions
    window place as (partition by deal_id, stage_number)

),

-- A repeated event of the stage in which the deal is already is no new arrival.
compared as (

    select
        *,
        lag(kpi_name) over in_order as previous_kpi_name,
        lag(attempt_number) over in_order as previous_attempt_number
    from arrivals_and_losses
    where (is_loss or is_arrival) and kpi_name is not null
    window in_order as (partition by deal_id order by event_number)

),

turns as (

    select
        *,
        count(case when not is_loss then stage_rank end)
            over (partition by deal_id order by event_number) as rank_number
    from compared
    where
        is_loss
        or kpi_name is distinct from previous_kpi_name
        or attempt_number is distinct from previous_attempt_number

),

-- A stage outside the funnel takes the place of the step that the deal came from.
ranked as (

    select
        *,
        coalesce(max(stage_rank) over (partition by deal_id, rank_number), 0) as place_rank
    from turns

),

visits as (

    select
        *,
        lead(event_at) over in_order as next_at,
        lead(is_loss) over in_order as is_next_loss,
        lead(attempt_lost_reason) over in_order as next_lost_reason,
        lead(kpi_name) over in_order as following_kpi_name,
        lead(funnel_step) over in_order as following_funnel_step,
        lead(place_rank) over in_order as next_rank
    from ranked
    window in_order as (partition by deal_id order by event_number)

)

select
    deal_id,
    cast(row_number() over (partition by deal_id order by event_number) as integer)
        as visit_number,
    kpi_name,
    funnel_step,
    step_order,
    event_at as entered_at,
    next_at as exited_at,
    cast(round({{ seconds_between('event_at', 'next_at') }} / 86400, 4) as numeric(18, 4))
        as days_in_stage,
    owner_id,
    attempt_number,
    attempt_outcome,
    attempt_ended_at,
    case when not is_next_loss then following_kpi_name end as next_kpi_name,
    case when not is_next_loss then following_funnel_step end as next_funnel_step,
    case
        when next_at is null then 'still there'
        when is_next_loss then 'lost'
        when next_rank = place_rank + 1 then 'advanced'
        when next_rank > place_rank + 1 then 'skipped ahead'
        else 'moved back'
    end as direction,
    case when is_next_loss then next_lost_reason end as lost_reason
from visits
where not is_loss
