with

stage_steps as (

    select distinct
        kpi_name,
        funnel_step,
        step_order
    from {{ ref('funnel_steps') }}
    where source_type = 'stage'

),

-- What was entered after a deal was won, or lost, says nothing about winning it.
attempts as (

    select
        kpi_name,
        deal_id,
        attempt_number,
        attempt_outcome,
        attempt_ended_at,
        min(entered_at) as entered_at
    from {{ ref('deal_stage_visits') }}
    where attempt_ended_at is null or entered_at <= attempt_ended_at
    group by kpi_name, deal_id, attempt_number, attempt_outcome, attempt_ended_at

),

history as (

    select
        kpi_name,
        cast(
            round(
                1.0 * count(*) filter (where attempt_outcome = 'won')
                / nullif(count(attempt_outcome), 0), 4
            ) as numeric(18, 4)
        ) as win_rate,
        cast(
            percentile_cont(0.5) within group (
                order by round(extract(epoch from attempt_ended_at - entered_at) / 86400, 4)
            ) filter (where attempt_outcome = 'won') as numeric(18, 4)
        ) as median_days_to_win
    from attempts
    group by kpi_name

),

open_deals as (

    select
        current_kpi_name as kpi_name,
        current_funnel_step as funnel_step,
        current_step_order as step_order,
        cast(sum(value) as numeric(18, 2)) as open_value,
        count(*) as open_deals_count
    from {{ ref('deal_states') }}
    where status = 'open' and current_kpi_name is not null
    group by current_kpi_name, current_funnel_step, current_step_order

),

places as (

    select * from stage_steps
    union
    select
        kpi_name,
        funnel_step,
        step_order
    from open_deals

),

forecasts as (

    select
        places.kpi_name,
        places.funnel_step,
        places.step_order,
        open_deals.open_value,
        history.win_rate,
        history.median_days_to_win,
        cast(
            coalesce(open_deals.open_deals_count, 0) * history.win_rate as numeric(18, 4)
        ) as expected_wins,
        cast(open_deals.open_value * history.win_rate as numeric(18, 2)) as expected_value,
        coalesce(open_deals.open_deals_count, 0) as open_deals_count
    from places
    left join open_deals
        on
            places.kpi_name = open_deals.kpi_name
            and places.funnel_step is not distinct from open_deals.funnel_step
    left join history
        on places.kpi_name = history.kpi_name

)

select
    kpi_name,
    funnel_step,
    step_order,
    open_deals_count,
    open_value,
    win_rate,
    median_days_to_win,
    expected_wins,
    expected_value
from forecasts
