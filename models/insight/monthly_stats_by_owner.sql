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
        deal_id is not null
        {#- As in changed_deals: beyond a year it is quicker to read all. #}
        {%- if window_months() | length <= 12 %}
            and deal_id = any(array(select stage_changes.deal_id from stage_changes))
        {%- endif %}
        and user_id is not null

),

changes as (

    select
        deal_id,
        change_time,
        funnel_step,
        null as user_id
    from stage_changes
    union all
    select
        deal_id,
        change_time,
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
        {{ local_month('change_time') }} as month,
        deal_id,
        funnel_step,
        change_time as event_at,
        owner_id
    from owned_changes
    where funnel_step is not null
    union all
    select
        {{ local_month('due_to') }} as month,
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

-- By the position of the step first: to sort its text takes longer.
ranked_events as (

    select
        events.month,
        events.deal_id,
        events.owner_id,
        funnel_steps.step_order,
        funnel_steps.funnel_step,
        funnel_steps.kpi_name,
        row_number() over (
            partition by
                events.month,
                funnel_steps.step_order,
                funnel_steps.funnel_step,
                events.deal_id
            order by events.event_at, events.owner_id
        ) as event_rank
    from events
    inner join funnel_steps
        on events.funnel_step = funnel_steps.funnel_step

)

select
    month,
    owner_id,
    kpi_name,
    funnel_step,
    step_order,
    count(*) filter (where event_rank = 1) as deals_count,
    count(distinct deal_id) as owner_deals_count
from ranked_events
group by month, owner_id, step_order, funnel_step, kpi_name
