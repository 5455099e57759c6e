with

-- What was entered after a deal was won, or lost, says nothing about winning it.
visits as (

    select
        kpi_name,
        {{ local_month('entered_at') }} as entered_month,
        case when attempt_outcome = 'won' then {{ local_month('attempt_ended_at') }} end
            as won_month
    from {{ ref('deal_stage_visits') }}
    where attempt_ended_at is null or entered_at <= attempt_ended_at

),

-- Of months there are few, of visits many.
cohorts as (

    select
        kpi_name,
        entered_month,
        won_month,
        {{ months_between('entered_month', 'won_month') }} as months_to_win,
        count(*) as visits_count
    from visits
    group by kpi_name, entered_month, won_month

),

months as (

    {{ date_series('2000-01-01', as_of_date().replace(day=1), 'month') }}

),

-- The wins known at the end of a month, the fastest first.
wins as (

    select
        months.date as month,
        cohorts.kpi_name,
        cohorts.months_to_win,
        sum(cohorts.visits_count) over (
            partition by months.date, cohorts.kpi_name order by cohorts.months_to_win
        ) as wins_so_far,
        sum(cohorts.visits_count) over (
            partition by months.date, cohorts.kpi_name
        ) as wins_count
    from cohorts
    inner join months
        on cohorts.won_month <= months.date

),

horizons as (

    select
        month,
        kpi_name,
        min(months_to_win) as horizon
    from wins
    where wins_so_far >= 0.9 * wins_count
    group by month, kpi_name

)

-- A win within the horizon after a visit that old is no later than the month.
select
    horizons.month,
    horizons.kpi_name,
    horizons.horizon as horizon_months,
    cast(
        round(
            sum(
                case
                    when cohorts.months_to_win <= horizons.horizon then cohorts.visits_count
                    else 0
                end
            ) / sum(cohorts.visits_count), 4
        ) as numeric(18, 4)
    ) as win_rate
from horizons
left join cohorts
    on
        horizons.kpi_name = cohorts.kpi_name
        and {{ months_between('cohorts.entered_month', 'horizons.month') }}
        > horizons.horizon
group by horizons.month, horizons.kpi_name, horizons.horizon
