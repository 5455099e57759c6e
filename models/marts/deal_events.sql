with

-- The steps to which stages lead; without a recorded status, some of them win a deal.
stages as (

    select
        funnel_step,
        step_order,
        cast(dense_rank() over (order by step_order) as integer) as stage_rank,
        step_order >= (
            select min(steps.step_order)
            from {{ ref('funnel_steps') }} as steps
            where steps.funnel_step = '{{ checked_var('won_step') }}'
        ) as is_won
    from {{ ref('funnel_steps') }}
    where source_type = 'stage'
    group by funnel_step, step_order

),

-- At one moment a deal is created, then handed over, valued, moved, and at last closed.
changes as (

    select
        *,
        lower(trim(new_value)) as field_value,
        case field
            when 'add_time' then 1
            when 'user_id' then 2
            when 'value' then 3
            when 'stage_id' then 4
            when 'lost_reason' then 5
            when 'status' then 6
        end as field_rank
    from {{ ref('deal_staging') }}
    where
        deal_id is not null
        and {{ is_known('change_time') }}

),

events as (

    select
        changes.deal_id,
        changes.change_time as event_at,
        changes.date,
        changes.field,
        changes.field_value,
        changes.kpi_name as value_name,
        changes.user_id,
        stages.step_order,
        stages.stage_rank,
        stages.is_won,
        case when changes.field = 'stage_id' then changes.kpi_name end as kpi_name,
        case when changes.field = 'stage_id' then changes.funnel_step end as funnel_step,
        cast(row_number() over (
            partition by changes.deal_id
            order by
                changes.change_time,
                changes.field_rank,
                stages.step_order nulls first,
                changes.user_id nulls first,
                {{ in_byte_order('changes.kpi_name') }} nulls first,
                {{ in_byte_order('changes.field_value') }} nulls first
        ) as integer) as event_number,
        count(
            case
                when changes.field = 'status' and changes.field_value in ('open', 'won', 'lost')
                    then 1
            end
        ) over (partition by changes.deal_id) > 0 as records_status
    from changes
    left join stages
        on
            changes.field = 'stage_id'
            and changes.funnel_step = stages.funnel_step
    where changes.field_rank is not null

),

-- What the event does to the deal; `reopen` only does something to a lost one.
effects as (

    select
        *,
        case
            when field = 'add_time' then 'open'
            when field = 'status' and field_value in ('open', 'won', 'lost') then field_value
            when field = 'lost_reason' and value_name is not null then 'lost'
            when field = 'lost_reason' then 'reopen'
            when is_won and not records_status then 'won'
            when kpi_name is not null then 'reopen'
        end as effect
    from events

),

-- Which event had each effect last, and how many owners and reasons there have been.
so_far as (

    select
        *,
        coalesce(max(case when effect = 'open' then event_number end) over life, 0) as opened,
        coalesce(max(case when effect = 'won' then event_number end) over life, 0) as won,
        coalesce(max(case when effect = 'lost' then event_number end) over life, 0) as lost,
        coalesce(max(case when effect = 'reopen' then event_number end) over life, 0) as reopened,
        count(user_id) over life as owner_number,
        count(case when field = 'lost_reason' then 1 end) over life as reason_number
    from effects
    window life as (partition by deal_id order by event_number)

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
        max(case when field = 'lost_reason' then value_name end)
            over (partition by deal_id, reason_number) as lost_reason
    from so_far

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
        cast(1 + count(
            case when previous_status <> 'open' and status <> previous_status then 1 end
        ) over (partition by deal_id order by event_number) as integer) as attempt_number
    from status_changes

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
    nullif(last_value(status) over attempt, 'open') as attempt_outcome,
    min(case when status <> 'open' then event_at end) over attempt as attempt_ended_at,
    case
        when last_value(status) over attempt = 'lost'
            then coalesce(last_value(lost_reason) over attempt, 'Unknown')
    end as attempt_lost_reason,
    event_number = max(event_number) over (partition by deal_id) as is_last
from attempts
window attempt as (
    partition by deal_id, attempt_number
    order by event_number
    rows between unbounded preceding and unbounded following
)
