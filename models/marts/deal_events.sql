with

deal_changes as (

    select
        *,
        lower(trim(new_value)) as field_value,
        kpi_name collate "C" as kpi_key,
        lower(trim(new_value)) collate "C" as value_key,
        -- At one moment a deal is created, then handed over, valued, moved, and at last closed.
        array_position(array[{{ deal_fields() }}], field) as field_rank
    from {{ ref('deal_staging') }}
    where
        deal_id is not null
        and {{ is_known('change_time') }}

),

funnel_steps as (

    select * from {{ ref('funnel_steps') }}
    where source_type = 'stage'

),

won_step as (

    select min(step_order) as step_order
    from {{ ref('funnel_steps') }}
    where funnel_step = '{{ won_step() }}'

),

stages as (

    select
        funnel_steps.funnel_step,
        funnel_steps.step_order,
        cast(dense_rank() over (order by funnel_steps.step_order) as integer) as stage_rank,
        funnel_steps.step_order >= won_step.step_order as is_won
    from funnel_steps
    cross join won_step
    group by funnel_steps.funnel_step, funnel_steps.step_order, won_step.step_order

),

numbered as (

    select
        deal_changes.deal_id,
        deal_changes.change_time as event_at,
        deal_changes.date,
        deal_changes.field,
        deal_changes.field_value,
        deal_changes.kpi_name,
        deal_changes.funnel_step,
        deal_changes.user_id,
        stages.step_order,
        stages.stage_rank,
        stages.is_won,
        cast(row_number() over (
            partition by deal_changes.deal_id
            order by
                deal_changes.change_time,
                deal_changes.field_rank,
                stages.step_order nulls first,
                deal_changes.user_id nulls first,
                deal_changes.kpi_key nulls first,
                deal_changes.value_key nulls first
        ) as integer) as event_number,
        bool_or(
            deal_changes.field = 'status'
            and coalesce(deal_changes.field_value in ('open', 'won', 'lost'), false)
        ) over (partition by deal_changes.deal_id) as records_status
    from deal_changes
    left join stages
        on
            deal_changes.field = 'stage_id'
            and deal_changes.funnel_step = stages.funnel_step
    where deal_changes.field_rank is not null

),

-- What the event does to the deal; `reopen` only does something to a lost one.
effects as (

    select
        *,
        case
            when field = 'add_time' then 'open'
            when field = 'status' and field_value in ('open', 'won', 'lost') then field_value
            when field = 'lost_reason' and kpi_name is not null then 'lost'
            when field = 'lost_reason' then 'reopen'
            when field = 'stage_id' and is_won and not records_status then 'won'
            when field = 'stage_id' and kpi_name is not null then 'reopen'
        end as effect
    from numbered

),

latest_effects as (

    select
        *,
        coalesce(max(event_number) filter (where effect = 'open') over so_far, 0) as opened,
        coalesce(max(event_number) filter (where effect = 'won') over so_far, 0) as won,
        coalesce(max(event_number) filter (where effect = 'lost') over so_far, 0) as lost,
        coalesce(max(event_number) filter (where effect = 'reopen') over so_far, 0) as reopened,
        count(user_id) over so_far as owner_number,
        count(*) filter (where field = 'lost_reason') over so_far as reason_number
    from effects
    window so_far as (partition by deal_id order by event_number)

),

statuses as (

    select
        *,
        case
            when won > greatest(opened, lost) then 'won'
            when lost > greatest(opened, won, reopened) then 'lost'
            else 'open'
        end as status,
        max(user_id) over (partition by deal_id, owner_number) as owner_id,
        max(kpi_name) filter (where field = 'lost_reason')
            over (partition by deal_id, reason_number) as lost_reason
    from latest_effects

),

status_changes as (

    select
        *,
        lag(status, 1, 'open') over (partition by deal_id order by event_number)
            as previous_status
    from statuses

),

attempts as (

    select
        *,
        cast(1 + count(*) filter (
            where previous_status <> 'open' and status <> previous_status
        ) over (partition by deal_id order by event_number) as integer) as attempt_number
    from status_changes

),

lives as (

    select
        deal_id,
        event_number,
        event_at,
        date,
        field,
        field_value,
        step_order,
        stage_rank,
        owner_id,
        status,
        previous_status,
        attempt_number,
        case when field = 'stage_id' then kpi_name end as kpi_name,
        case when field = 'stage_id' then funnel_step end as funnel_step,
        nullif(
            last_value(status) over whole_attempt, 'open'
        ) as attempt_outcome,
        min(event_at) filter (where status <> 'open') over whole_attempt as attempt_ended_at,
        case
            when last_value(status) over whole_attempt = 'lost'
                then coalesce(last_value(lost_reason) over whole_attempt, 'Unknown')
        end as attempt_lost_reason,
        event_number = max(event_number) over (partition by deal_id) as is_last
    from attempts
    window whole_attempt as (
        partition by deal_id, attempt_number
        order by event_number
        rows between unbounded preceding and unbounded following
    )

)

select
    deal_id,
    event_number,
    event_at,
    date,
    field,
    field_value,
    kpi_name,
    funnel_step,
    step_order,
    stage_rank,
    owner_id,
    status,
    previous_status,
    attempt_number,
    attempt_outcome,
    attempt_ended_at,
    attempt_lost_reason,
    is_last
from lives
