{%- set this_month = as_of_date().replace(day=1) %}

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
visits as not materialized (

    select
        kpi_name,
        entered_at,
        case when attempt_outcome = 'won' then attempt_ended_at end as won_at
    from {{ ref('deal_stage_visits') }}
    where attempt_ended_at is null or entered_at <= attempt_ended_at

),

-- Of months there are few, of visits many.
cohorts as (

    select
        kpi_name,
        {{ local_month('entered_at') }} as entered_month,
        {{ local_month('won_at') }} as won_month,
        count(*) as visits_count
    from visits
    group by kpi_name, entered_month, won_month

),

-- The wins, the fastest first.
wins as (

    select
        kpi_name,
        age(cast(won_month as timestamp), entered_month) as time_to_win,
        sum(visits_count) over (
            partition by kpi_name order by age(cast(won_month as timestamp), entered_month)
        ) as wins_so_far,
        sum(visits_count) over (partition by kpi_name) as wins_count
    from cohorts
    where won_month is not null

),

-- Nine of ten wins came within the horizon: calendar months, as in the back-test.
horizons as (

    select
        kpi_name,
        min(time_to_win) as horizon
    from wins
    where wins_so_far >= 0.9 * wins_count
    group by kpi_name

),

win_rates as (

    select
        horizons.kpi_name,
        horizons.horizon,
        cast(
            round(
                coalesce(sum(cohorts.visits_count) filter (
                    where cohorts.won_month <= cohorts.entered_month + horizons.horizon
                ), 0) / sum(cohorts.visits_count), 4
            ) as numeric(18, 4)
        ) as win_rate
    from horizons
    left join cohorts
        on
            horizons.kpi_name = cohorts.kpi_name
            and cohorts.entered_month + horizons.horizon < cast('{{ this_month }}' as date)
    group by horizons.kpi_name, horizons.horizon

),

durations as (

    select
        kpi_name,
        cast(
            percentile_cont(0.5) within group (
                order by round(extract(epoch from won_at - entered_at) / 86400, 4)
            ) as numeric(18, 4)
        ) as median_days_to_win
    from visits
    where won_at is not null
    group by kpi_name

),

history as (

    select
        win_rates.kpi_name,
        win_rates.horizon,
        win_rates.win_rate,
        durations.median_days_to_win
    from win_rates
    inner join durations
        on win_rates.kpi_name = durations.kpi_name

),

-- A deal that has been in its stage for longer than the horizon is given up.
weighted as (

    select
        deal_states.current_kpi_name as kpi_name,
        deal_states.current_funnel_step as funnel_step,
        deal_states.current_step_order as step_order,
        deal_states.value,
        case
            when
                {{ local_month('deal_states.current_step_entered_at') }} + history.horizon
                < cast('{{ this_month }}' as date)
                then 0
            else 1
        end as weight
    from {{ ref('deal_states') }} as deal_states
    left join history
        on deal_states.current_kpi_name = history.kpi_name
    where deal_states.status = 'open' and deal_states.current_kpi_name is not null

),

open_deals as (

    select
        kpi_name,
        funnel_step,
        step_order,
        cast(sum(value) as numeric(18, 2)) as open_value,
        sum(value * weight) as weighted_value,
        count(*) as open_deals_count,
        sum(weight) as weighted_count
    from weighted
    group by kpi_name, funnel_step, step_order

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
            coalesce(open_deals.weighted_count, 0) * history.win_rate as numeric(18, 4)
        ) as expected_wins,
        cast(open_deals.weighted_value * history.win_rate as numeric(18, 2)) as expected_value,
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
