{%- set deal_pipelines = ref('deal_pipelines') %}

with

-- The steps to which stages lead; where no status is recorded, some of them win a deal.
stages as (

    select
        funnel_step,
        step_order,
        cast(dense_rank() over (order by step_order) as integer) as stage_rank,
        step_order >= (
            select min(steps.step_order)
            from {{ ref('funnel_steps') }} as steps
            where steps.funnel_step = '{{ checked_var('won_step') }}'
        ) as is_winning
    from {{ ref('funnel_steps') }}
    where source_type = 'stage'
    group by funnel_step, step_order

),

-- Since when the account records statuses: a fact of all its deals.
account as (

    select min(first_status_at) as first_status_at
    from {{ ref('deal_first_statuses') }}

),

-- What each event does to a deal, before the account records statuses and from then on.
rules as (

    select * from (
        values
        ('created again', 'open', 'open'),
        ('status open', 'open', 'open'),
        ('status won', 'won', 'won'),
        ('status lost', 'lost', 'lost'),
        ('status deleted', 'deleted', 'deleted'),
        ('winning stage', 'won', null),
        ('other stage', 'take up', null),
        ('lost reason', 'give up', null),
        ('lost reason emptied', 'take up', null)
    ) as table_of_rules (event_name, effect_before, effect_after)

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
        {%- if checked_var('pipelines') %}
            and deal_id in (
                select deal_pipelines.deal_id
                from {{ deal_pipelines }} as deal_pipelines
                where
                    deal_pipelines.is_counted
                    and {{ is_known('deal_pipelines.entered_at') }}
            )
        {%- endif %}
        and {{ is_known('change_time') }}

),

ordered as (

    select
        changes.deal_id,
        changes.change_time as event_at,
        changes.date,
        changes.field,
        changes.field_value,
        changes.kpi_name as value_name,
        changes.user_id,
        changes.pipeline_id,
        changes.is_elsewhere,
        stages.step_order,
        stages.stage_rank,
        stages.is_winning,
        changes.change_time >= account.first_status_at as is_recorded,
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
        ) as integer) as event_number
    from changes
    cross join account
    left join stages
        on
            changes.field = 'stage_id'
            and changes.funnel_step = stages.funnel_step
    where changes.field_rank is not null

),

-- In another pipeline, one that does not count, a deal is elsewhere until it enters a stage here.
places as (

    select
        *,
        coalesce(max(case when is_elsewhere then event_number end) over life, 0)
        > coalesce(max(case when not is_elsewhere then event_number end) over life, 0) as is_away
    from ordered
    window life as (partition by deal_id order by event_number)

),

-- Of several creations only one at a later moment than the last begins a new life.
events as (

    select
        *,
        case
            when is_away then null
            when
                field = 'add_time'
                and event_at > max(case when field = 'add_time' then event_at end) over (
                    partition by deal_id
                    order by event_number
                    rows between unbounded preceding and 1 preceding
                )
                then 'created again'
            when field = 'status' then 'status ' || field_value
            when is_winning then 'winning stage'
            when kpi_name is not null then 'other stage'
            when field = 'lost_reason' and value_name is not null then 'lost reason'
            when field = 'lost_reason' then 'lost reason emptied'
        end as event_name
    from places

),

effects as (

    select
        events.*,
        case
            when events.is_recorded then rules.effect_after
            else rules.effect_before
        end as effect
    from events
    left join rules
        on events.event_name = rules.event_name

),

-- Which event had each effect last, and how many owners, reasons and lives there have been.
so_far as (

    select
        *,
        cast(1 + count(case when event_name = 'created again' then 1 end) over life as integer)
            as life_number,
        coalesce(max(case when effect = 'open' then event_number end) over life, 0) as opened,
        coalesce(max(case when effect = 'won' then event_number end) over life, 0) as won,
        coalesce(max(case when effect = 'lost' then event_number end) over life, 0) as lost,
        coalesce(max(case when effect = 'deleted' then event_number end) over life, 0) as deleted,
        coalesce(max(case when effect = 'give up' then event_number end) over life, 0) as given_up,
        coalesce(max(case when effect = 'take up' then event_number end) over life, 0) as taken_up,
        count(user_id) over life as owner_number,
        count(case when field = 'lost_reason' and not is_away then 1 end) over life
            as reason_number
    from effects
    window life as (partition by deal_id order by event_number)

),

-- To give up a deal that is won does not lose it: it loses the customer.
statuses as (

    select
        *,
        case
            when deleted > greatest(opened, won, lost) then 'deleted'
            when lost > greatest(opened, won) then 'lost'
            when won > opened and given_up > greatest(won, taken_up) then 'lost after won'
            when won > opened then 'won'
            when given_up > greatest(opened, taken_up) then 'lost'
            when is_away then 'elsewhere'
            else 'open'
        end as status,
        max(user_id) over (partition by deal_id, owner_number) as owner_id
    from so_far

),

status_changes as (

    select
        *,
        lag(status, 1, 'open') over (partition by deal_id order by event_number)
            as previous_status
    from statuses

),

-- A status that follows another one without the deal being open in between corrects it.
outcomes as (

    select
        *,
        case status when 'lost after won' then 'won' when 'open' then null else status end
            as outcome,
        coalesce(
            event_name = 'created again'
            or previous_status <> 'open' and status = 'open'
            or previous_status in ('lost', 'elsewhere') and status = 'won' and field = 'stage_id',
            false
        ) as is_new_attempt
    from status_changes

),

attempts as (

    select
        *,
        cast(1 + count(case when is_new_attempt then 1 end) over life as integer)
            as attempt_number,
        outcome is not null and (
            is_new_attempt
            or outcome <> case previous_status
                when 'lost after won' then 'won' else previous_status
            end
        ) as is_closing,
        lead(event_name = 'created again') over life as is_left,
        lead(event_at) over life as next_at
    from outcomes
    window life as (partition by deal_id order by event_number)

),

-- A reason holds in the attempt in which it was given.
reasons as (

    select
        *,
        count(case when is_closing then 1 end)
            over (partition by deal_id order by event_number) as closing_number,
        max(case when field = 'lost_reason' and not is_away then value_name end)
            over (partition by deal_id, attempt_number, reason_number) as lost_reason
    from attempts

)

select
    deal_id,
    event_number,
    event_at,
    date,
    field,
    field_value,
    pipeline_id,
    kpi_name,
    funnel_step,
    step_order,
    stage_rank,
    owner_id,
    status,
    previous_status,
    life_number,
    attempt_number,
    is_new_attempt,
    is_closing,
    last_value(coalesce(outcome, case when is_left then 'created again' end)) over attempt
        as attempt_outcome,
    max(
        case
            when is_closing then event_at
            when outcome is null and is_left then next_at
        end
    ) over attempt as attempt_ended_at,
    case
        when outcome = 'lost'
            then coalesce(
                last_value(lost_reason) over (
                    partition by deal_id, attempt_number, closing_number
                    order by event_number
                    rows between unbounded preceding and unbounded following
                ),
                'Unknown'
            )
    end as lost_reason,
    event_number = max(event_number) over (partition by deal_id) as is_last
from reasons
window attempt as (
    partition by deal_id, attempt_number
    order by event_number
    rows between unbounded preceding and unbounded following
)
