with

deal_events as (

    select * from {{ ref('deal_events') }}
    where {{ is_deal_to_compute() }}

),

-- In each life a deal is in the stage of its last stage event.
stage_numbers as (

    select
        *,
        count(kpi_name) over (partition by deal_id order by event_number) as stage_number
    from deal_events

),

places as (

    select
        deal_id,
        event_number,
        event_at,
        field,
        owner_id,
        status,
        previous_status,
        life_number,
        attempt_number,
        is_new_attempt,
        is_closing,
        attempt_outcome,
        attempt_ended_at,
        lost_reason,
        kpi_name is not null as is_stage_event,
        max(case when kpi_name is not null then pipeline_id end) over place as pipeline_id,
        max(kpi_name) over place as kpi_name,
        max(funnel_step) over place as funnel_step,
        max(step_order) over place as step_order,
        max(stage_rank) over place as stage_rank
    from stage_numbers
    window place as (partition by deal_id, life_number, stage_number)

),

compared as (

    select
        *,
        lag(kpi_name) over life as previous_kpi_name,
        lag(pipeline_id) over life as previous_pipeline_id
    from places
    window life as (partition by deal_id, life_number order by event_number)

),

-- A deal arrives where it moves to another stage, and where it is taken up again.
turns as (

    select
        *,
        coalesce(
            kpi_name is not null
            and status in ('open', 'won')
            and (
                is_stage_event and kpi_name is distinct from previous_kpi_name
                or is_stage_event and pipeline_id <> previous_pipeline_id
                or is_new_attempt
                or previous_status = 'lost after won' and status = 'won'
            ), false
        ) as is_arrival,
        case
            when field = 'add_time' and is_new_attempt then 'created again'
            when is_closing and status = 'elsewhere' then 'moved to another pipeline'
            when is_closing then status
            when status = 'lost after won' and previous_status <> status then 'customer lost'
        end as ending
    from compared

),

-- A win at the moment of arrival is that of a customer who arrives: it ends no visit.
numbered as (

    select
        *,
        ending = 'won'
        and not is_arrival
        and lag(is_arrival) over in_order
        and lag(event_at) over in_order = event_at as is_won_on_arrival,
        count(case when is_arrival then stage_rank end)
            over (partition by deal_id, life_number order by event_number) as rank_number
    from turns
    where is_arrival or ending is not null
    window in_order as (partition by deal_id order by event_number)

),

-- A stage outside the funnel takes the place of the step that the deal came from.
ranked as (

    select
        *,
        coalesce(lead(is_won_on_arrival) over in_order, false) as is_won_here,
        coalesce(
            max(case when is_arrival then stage_rank end)
                over (partition by deal_id, life_number, rank_number),
            0
        ) as place_rank
    from numbered
    window in_order as (partition by deal_id order by event_number)

),

visits as (

    select
        *,
        is_won_here or status = 'won' as is_customer,
        lead(event_at) over in_order as next_at,
        case
            when lead(is_arrival) over in_order and lead(is_new_attempt) over in_order
                then 're-opened'
            when not lead(is_arrival) over in_order then lead(ending) over in_order
        end as next_ending,
        lead(lost_reason) over in_order as next_lost_reason,
        lead(pipeline_id) over in_order as following_pipeline_id,
        lead(kpi_name) over in_order as following_kpi_name,
        lead(funnel_step) over in_order as following_funnel_step,
        lead(place_rank) over in_order as next_rank
    from ranked
    where is_won_on_arrival is not true
    window in_order as (partition by deal_id order by event_number)

)

select
    deal_id,
    cast(row_number() over (partition by deal_id order by event_number) as integer)
        as visit_number,
    pipeline_id,
    kpi_name,
    funnel_step,
    step_order,
    event_at as entered_at,
    next_at as exited_at,
    cast(round({{ seconds_between('event_at', 'next_at') }} / 86400, 4) as numeric(18, 4))
        as days_in_stage,
    owner_id,
    life_number,
    attempt_number,
    attempt_outcome,
    attempt_ended_at,
    is_customer,
    case when next_ending is null then following_kpi_name end as next_kpi_name,
    case when next_ending is null then following_funnel_step end as next_funnel_step,
    case
        when next_at is null and is_customer then 'customer'
        when next_at is null then 'still there'
        when next_ending is not null then next_ending
        when following_pipeline_id <> pipeline_id then 'moved to another pipeline'
        when next_rank = place_rank + 1 then 'advanced'
        when next_rank > place_rank + 1 then 'skipped ahead'
        else 'moved back'
    end as direction,
    case when next_ending = 'lost' then next_lost_reason end as lost_reason
from visits
where is_arrival
