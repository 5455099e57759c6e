{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        pre_hook="{{ delete_months() }}"
    )
}}

with

-- Several stages may lead to one step.
funnel_steps as (

    select distinct
        funnel_step,
        kpi_name,
        step_order
    from {{ ref('funnel_steps') }}

),

stage_changes as (

    select * from {{ ref('deal_staging') }}
    where
        field = 'stage_id'
        and funnel_step is not null
        and deal_id is not null
        and {{ in_window('change_time') }}

),

owner_changes as (

    select * from {{ ref('deal_staging') }}
    where
        user_id is not null
        and deal_id = any(array(select stage_changes.deal_id from stage_changes))

),

changes as (

    select
        deal_id,
        change_time,
        date,
        funnel_step,
        null as user_id
    from stage_changes
    union all
    select
        deal_id,
        change_time,
        date,
        null as funnel_step,
        user_id
    from owner_changes

),

-- The owner at one moment is the one that is named last, also where both change at once.
numbered_changes as (

    select
        *,
        count(user_id) over (
            partition by deal_id
            order by
                change_time,
                user_id is null,
                user_id
            rows unbounded preceding
        ) as owner_number
    from changes

),

owned_changes as (

    select
        *,
        max(user_id) over (partition by deal_id, owner_number) as owner_id
    from numbered_changes

),

events as (

    select
        cast(date_trunc('month', date) as date) as month,
        deal_id,
        funnel_step,
        change_time as event_at,
        owner_id
    from owned_changes
    where funnel_step is not null
    union all
    select
        cast(date_trunc('month', date) as date) as month,
        deal_id,
        funnel_step,
        due_to as event_at,
        user_id as owner_id
    from {{ ref('activity_staging') }}
    where
        is_done
        and funnel_step is not null
        and deal_id is not null
        and {{ in_window('due_to') }}

),

ranked_events as (

    select
        *,
        row_number() over (
            partition by month, funnel_step, deal_id
            order by event_at, owner_id
        ) as event_rank
    from events

)

select
    ranked_events.month,
    ranked_events.owner_id,
    funnel_steps.kpi_name,
    ranked_events.funnel_step,
    funnel_steps.step_order,
    count(*) filter (where ranked_events.event_rank = 1) as deals_count,
    count(distinct ranked_events.deal_id) as owner_deals_count
from ranked_events
inner join funnel_steps
    on ranked_events.funnel_step = funnel_steps.funnel_step
group by
    ranked_events.month,
    ranked_events.owner_id,
    funnel_steps.kpi_name,
    ranked_events.funnel_step,
    funnel_steps.step_order
