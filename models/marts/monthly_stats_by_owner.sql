with

-- Several stages may lead to one step.
funnel_steps as (

    select distinct
        funnel_step,
        kpi_name,
        step_order
    from {{ ref('funnel_steps') }}

),

-- Read twice, so kept as it is: only with the columns that are needed.
stage_changes as (

    select
        deal_id,
        change_time,
        funnel_step
    from {{ ref('deal_staging') }}
    where
        field = 'stage_id'
        and funnel_step is not null
        and deal_id is not null
        and {{ in_window('change_time') }}

),

-- The field says the same as user_id, but earlier: the view then joins names to these changes only.
owner_changes as (

    select
        deal_id,
        change_time,
        user_id
    from {{ ref('deal_staging') }}
    where
        field = 'user_id'
        and deal_id is not null
        {#- Beyond a year it is quicker to read all. #}
        {%- if window_months() | length <= 12 %}
            and {{ is_among('deal_id', 'select stage_changes.deal_id from stage_changes') }}
        {%- endif %}
        and user_id is not null

),

-- From one change of owner to the next; of several at one moment the one with the highest number
-- counts. Owners change seldom, so to order these takes less than to order all changes.
ownerships as (

    select
        deal_id,
        change_time as owned_from,
        max(user_id) as owner_id,
        lead(change_time) over (partition by deal_id order by change_time) as owned_until
    from owner_changes
    group by deal_id, change_time

),

events as (

    -- The new owner also has the stage that changes at the same moment.
    select
        {{ local_date('stage_changes.change_time', 'month') }} as month,
        stage_changes.deal_id,
        stage_changes.funnel_step,
        stage_changes.change_time as event_at,
        ownerships.owner_id
    from stage_changes
    left join ownerships
        on
            stage_changes.deal_id = ownerships.deal_id
            and stage_changes.change_time >= ownerships.owned_from
            and (
                stage_changes.change_time < ownerships.owned_until
                or ownerships.owned_until is null
            )
    union all
    select
        {{ local_date('due_to', 'month') }} as month,
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

-- By deal first, which settles nearly every comparison of the sort: numbers compare quicker than
-- the text of a step.
ranked_events as (

    select
        month,
        funnel_step,
        deal_id,
        owner_id,
        row_number() over in_order as event_rank,
        first_value(owner_id) over in_order as first_owner_id
    from events
    window in_order as (
        partition by deal_id, month, funnel_step
        order by event_at, owner_id
    )

),

-- A deal and each of its owners once. Few deals get another owner within a step and month, so only
-- these have to be told apart.
owned_deals as (

    select
        month,
        funnel_step,
        deal_id,
        owner_id,
        true as is_first_owner
    from ranked_events
    where event_rank = 1
    union all
    select distinct
        month,
        funnel_step,
        deal_id,
        owner_id,
        false as is_first_owner
    from ranked_events
    where owner_id is distinct from first_owner_id

),

counts as (

    select
        month,
        owner_id,
        funnel_step,
        count(case when is_first_owner then 1 end) as deals_count,
        count(*) as owner_deals_count
    from owned_deals
    group by month, owner_id, funnel_step

)

select
    counts.month,
    counts.owner_id,
    funnel_steps.kpi_name,
    counts.funnel_step,
    funnel_steps.step_order,
    counts.deals_count,
    counts.owner_deals_count
from counts
inner join funnel_steps
    on counts.funnel_step = funnel_steps.funnel_step
