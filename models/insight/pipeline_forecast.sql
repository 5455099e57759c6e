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
visits as (

    select
        kpi_name,
        cast(date_trunc('month', {{ local_date('entered_at') }}) as date) as entered_month,
        case
            when attempt_outcome = 'won'
                then cast(date_trunc('month', {{ local_date('attempt_ended_at') }}) as date)
        end as won_month,
        case
            when attempt_outcome = 'won'
                then round(extract(epoch from attempt_ended_at - entered_at) / 86400, 4)
        end as days_to_win
    from {{ ref('deal_stage_visits') }}
    where attempt_ended_at is null or entered_at <= attempt_ended_at

),

-- Nine of ten wins came within the horizon: calendar months, as in the back-test.
horizons as (

    select
        kpi_name,
        cast(
            percentile_cont(0.5) within group (order by days_to_win) as numeric(18, 4)
        ) as median_days_to_win,
        percentile_disc(0.9) within group (
            order by age(cast(won_month as timestamp), entered_month)
        ) as horizon
    from visits
    where won_month is not null
    group by kpi_name

),

history as (

    select
        horizons.kpi_name,
        horizons.horizon,
        horizons.median_days_to_win,
        cast(
            round(
                1.0 * count(*) filter (
                    where visits.won_month <= visits.entered_month + horizons.horizon
                ) / nullif(count(visits.kpi_name), 0), 4
            ) as numeric(18, 4)
        ) as win_rate
    from horizons
    left join visits
        on
            horizons.kpi_name = visits.kpi_name
            and visits.entered_month + horizons.horizon < cast('{{ this_month }}' as date)
    group by horizons.kpi_name, horizons.horizon, horizons.median_days_to_win

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
                cast(
                    date_trunc(
                        'month', {{ local_date('deal_states.current_step_entered_at') }}
                    ) as date
                ) + history.horizon < cast('{{ this_month }}' as date)
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
