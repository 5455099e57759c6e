{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        pre_hook="{{ delete_changed_deals() }}",
        post_hook="{{ clear_changed_deals() }}"
    )
}}

with

changed_deals as (

    select * from {{ ref('changed_deals') }}

),

deal_events as (

    select * from {{ ref('deal_events') }}
    {%- if is_incremental() %}
        where deal_id = any(array(select changed_deals.deal_id from changed_deals))
    {%- endif %}

),

visits as (

    select * from {{ ref('deal_stage_visits') }}
    {%- if is_incremental() %}
        where deal_id = any(array(select changed_deals.deal_id from changed_deals))
    {%- endif %}

),

activities as (

    select * from {{ ref('activity_staging') }}
    where
        is_done
        and funnel_step is not null
        {%- if is_incremental() %}
            and deal_id = any(array(select changed_deals.deal_id from changed_deals))
        {%- endif %}
        and {{ is_known('due_to') }}

),

funnel_steps as (

    select distinct
        funnel_step,
        kpi_name,
        step_order
    from {{ ref('funnel_steps') }}

),

deals as (

    select
        deal_id,
        coalesce(min(event_at) filter (where field = 'add_time'), min(event_at)) as created_at,
        max(event_at) as last_event_at,
        max(owner_id) filter (where is_last) as owner_id,
        max(status) filter (where is_last) as status,
        max(attempt_number) as attempts_count,
        max(attempt_ended_at) filter (where is_last) as closed_at,
        max(attempt_lost_reason) filter (where is_last) as lost_reason,
        greatest(count(distinct event_at) filter (where field = 'add_time'), 1) as lives_count,
        count(*) filter (where status = 'lost' and previous_status <> 'lost') as loss_count,
        max(event_at) filter (where status <> previous_status) as status_changed_at
    from deal_events
    group by deal_id

),

value_changes as (

    select
        deal_id,
        event_number,
        date,
        case
            when field_value ~ '^-?[0-9]{1,12}([.][0-9]{1,6})?$'
                then cast(cast(field_value as numeric) as numeric(18, 2))
        end as value
    from deal_events
    where field = 'value'

),

deal_values as (

    select
        deal_id,
        jsonb_agg(
            jsonb_build_object('date', date, 'value', value) order by event_number
        ) as value_history
    from value_changes
    group by deal_id

),

events as (

    select
        deal_id,
        funnel_step,
        event_at,
        date
    from deal_events
    union all
    select
        deal_id,
        funnel_step,
        due_to as event_at,
        date
    from activities
    -- An activity alone does not make a deal: most of them belong to deals of other exports.
    where deal_id in (select deals.deal_id from deals)

),

event_months as (

    select
        deal_id,
        max(event_at) as last_event_at,
        array_agg(
            distinct cast(date_trunc('month', cast(date as timestamp)) as date)
        ) as event_months
    from events
    group by deal_id

),

first_entries as (

    select
        deal_id,
        funnel_step,
        min(event_at) as entered_at
    from events
    where funnel_step is not null
    group by deal_id, funnel_step

),

entries as (

    select
        first_entries.deal_id,
        jsonb_object_agg(first_entries.funnel_step, first_entries.entered_at) as first_entered_at,
        array_agg(first_entries.funnel_step order by funnel_steps.step_order) as entered_steps
    from first_entries
    inner join funnel_steps
        on first_entries.funnel_step = funnel_steps.funnel_step
    group by first_entries.deal_id

),

last_visits as (

    select distinct on (deal_id) *
    from visits
    order by deal_id asc, visit_number desc

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
    furthest.kpi_name as furthest_kpi_name,
    furthest.funnel_step as furthest_funnel_step,
    furthest.step_order as furthest_step_order,
    cast(deal_values.value_history -> -1 ->> 'value' as numeric(18, 2)) as value,
    cast(deals.lives_count as integer) as lives_count,
    cast(deals.loss_count as integer) as loss_count,
    entries.entered_steps,
    deal_values.value_history,
    event_months.last_event_at,
    event_months.event_months,
    changed_deals.events_hash,
    case when deals.status = 'lost' then deals.closed_at end as lost_at,
    case when deals.status = 'lost' then deals.lost_reason end as lost_reason,
    case when deals.status = 'won' then deals.closed_at end as won_at,
    greatest(last_visits.entered_at, deals.status_changed_at, deals.created_at) as last_moved_at,
    coalesce(entries.first_entered_at, '{}') as first_entered_at
from deals
inner join event_months
    on deals.deal_id = event_months.deal_id
left join last_visits
    on
        deals.deal_id = last_visits.deal_id
        -- A deal that is open anew was in a stage, but may not be in one yet.
        and (deals.status <> 'open' or deals.attempts_count = last_visits.attempt_number)
left join entries
    on deals.deal_id = entries.deal_id
left join funnel_steps as furthest
    on entries.entered_steps[cardinality(entries.entered_steps)] = furthest.funnel_step
left join deal_values
    on deals.deal_id = deal_values.deal_id
left join changed_deals
    on deals.deal_id = changed_deals.deal_id
