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
        and {{ is_deal_to_compute() }}

),

named as (

    select
        changes.*,
        stages.step_order,
        stages.stage_rank,
        case
            when changes.field = 'status' then 'status ' || changes.field_value
            when stages.is_winning then 'winning stage'
            when changes.field = 'stage_id' and changes.kpi_name is not null then 'other stage'
            when changes.field = 'lost_reason' and changes.kpi_name is not null
                then 'lost reason'
            when changes.field = 'lost_reason' then 'lost reason emptied'
        end as event_name
    from changes
    left join stages
        on
            changes.field = 'stage_id'
            and changes.funnel_step = stages.funnel_step
    where changes.field_rank is not null

),

ordered as (

    select
        named.deal_id,
        named.change_time as event_at,
        named.date,
        named.field,
        named.field_value,
        named.kpi_name as value_name,
        named.user_id,
        named.pipeline_id,
        named.is_elsewhere,
        named.step_order,
        named.stage_rank,
        case when named.field = 'stage_id' then named.kpi_name end as kpi_name,
        case when named.field = 'stage_id' then named.funnel_step end as funnel_step,
        case
            when named.change_time >= account.first_status_at then rules.effect_after
            else rules.effect_before
        end as effect_here,
        cast(row_number() over (
            partition by named.deal_id
            order by
                named.change_time,
                named.field_rank,
                named.step_order nulls first,
                named.user_id nulls first,
                {{ in_byte_order('named.kpi_name') }} nulls first,
                {{ in_byte_order('named.field_value') }} nulls first
        ) as integer) as event_number
    from named
    cross join account
    left join rules
        on named.event_name = rules.event_name

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
        coalesce(
            not is_away
            and field = 'add_time'
            and event_at > max(case when field = 'add_time' then event_at end) over (
                partition by deal_id
                order by event_number
                rows between unbounded preceding and 1 preceding
            ), false
        ) as is_new_life
    from places

),

effects as (

    select
        *,
        case
            when is_new_life then 'open'
            when not is_away then effect_here
        end as effect
    from events

),

-- Which event had each effect last, and how many owners, reasons and lives there have been.
so_far as (

    select
        *,
        cast(1 + count(case when is_new_life then 1 end) over life as integer)
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
        end as status
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
            is_new_life
            or previous_status <> 'open' and status = 'open'
            or previous_status in ('lost', 'elsewhere') and status = 'won' and field = 'stage_id',
            false
        ) as is_new_attempt
    from status_changes

),

closings as (

    select
        *,
        outcome is not null and (
            is_new_attempt
            or outcome <> case previous_status
                when 'lost after won' then 'won' else previous_status
            end
        ) as is_closing
    from outcomes

),

attempts as (

    select
        *,
        cast(1 + count(case when is_new_attempt then 1 end) over life as integer)
            as attempt_number,
        count(case when is_closing then 1 end) over life as closing_number,
        lead(is_new_life) over life as is_left,
        lead(event_at) over life as next_at
    from closings
    window life as (partition by deal_id order by event_number)

),

-- An owner stays until the next one; a reason holds in the attempt in which it was given.
owners_and_reasons as (

    select
        *,
        max(user_id) over (partition by deal_id, owner_number) as owner_id,
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
    next_at is null as is_last
from owners_and_reasons
window attempt as (
    partition by deal_id, attempt_number
    order by event_number
    rows between unbounded preceding and unbounded following
)
