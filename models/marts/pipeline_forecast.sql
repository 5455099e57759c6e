{%- set this_month = "cast('" ~ as_of_date().replace(day=1) ~ "' as date)" %}

with

win_rates as (

    select * from {{ ref('stage_win_rates') }}
    where month = {{ this_month }}

),

durations as (

    select
        kpi_name,
        percentile_cont(0.5) within group (
            order by round({{ seconds_between('entered_at', 'attempt_ended_at') }} / 86400, 4)
        ) as median_days_to_win
    from {{ ref('deal_stage_visits') }}
    where
        attempt_outcome = 'won'
        and not is_customer
        and exited_at is distinct from entered_at
    group by kpi_name

),

-- A deal that has been in its stage for longer than the horizon is given up.
open_deals as (

    select
        deals.deal_id,
        deals.current_kpi_name as kpi_name,
        deals.current_funnel_step as funnel_step,
        deals.current_step_order as step_order,
        deals.value,
        deals.currency,
        case
            when
                {{ dbt.datediff(
                    local_date('deals.current_step_entered_at', 'month'), this_month, 'month') }}
                > coalesce(
                    win_rates.horizon_months,
                    (select max(rates.horizon_months) from win_rates as rates)
                )
                then 0
            else 1
        end as weight
    from {{ ref('deals') }} as deals
    left join win_rates
        on deals.current_kpi_name = win_rates.kpi_name
    where deals.status = 'open' and deals.current_kpi_name is not null

),

-- A stage of the funnel without open deals is there, too.
stages as (

    select
        kpi_name,
        funnel_step,
        step_order,
        count(deal_id) as open_deals_count,
        count(case when weight = 0 then deal_id end) as given_up_deals_count,
        sum(weight) as weighted_count,
        sum(value) as open_value,
        sum(value * weight) as weighted_value,
        max(case when value is not null then currency end) as currency,
        count(distinct case when value is not null then coalesce(currency, '') end)
            as currencies_count
    from (
        select * from open_deals
        union all
        select
            null as deal_id,
            kpi_name,
            funnel_step,
            step_order,
            null as value,
            null as currency,
            0 as weight
        from {{ ref('funnel_steps') }}
        where source_type = 'stage'
    ) as deals_and_steps
    group by kpi_name, funnel_step, step_order

),

-- Rounded only at the end: wins by the visits they came from, not by the rate that is shown.
forecast as (

    select
        stages.kpi_name,
        stages.funnel_step,
        stages.step_order,
        stages.open_deals_count,
        stages.given_up_deals_count,
        stages.currencies_count,
        win_rates.win_rate,
        cast(round(cast(durations.median_days_to_win as numeric(18, 8)), 4) as numeric(18, 4))
            as median_days_to_win,
        cast(case when stages.currencies_count = 1 then stages.open_value end as numeric(18, 2))
            as open_value,
        cast(
            round(
                1.0 * stages.weighted_count * win_rates.won_visits_count
                / nullif(win_rates.judged_visits_count, 0), 4
            ) as numeric(18, 4)
        ) as expected_wins,
        cast(
            round(
                case when stages.currencies_count = 1 then stages.weighted_value end
                * win_rates.won_visits_count
                / nullif(win_rates.judged_visits_count, 0), 2
            ) as numeric(18, 2)
        ) as expected_value,
        case when stages.currencies_count = 1 then stages.currency end as currency
    from stages
    left join win_rates
        on stages.kpi_name = win_rates.kpi_name
    left join durations
        on stages.kpi_name = durations.kpi_name

)

select
    kpi_name,
    funnel_step,
    step_order,
    open_deals_count,
    given_up_deals_count,
    open_value,
    currency,
    currencies_count,
    win_rate,
    median_days_to_win,
    expected_wins,
    expected_value
from forecast
