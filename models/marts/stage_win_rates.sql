with

-- What a deal does once it is won says nothing about winning it, nor where it did not stay.
visits as (

    select
        deal_id,
        attempt_number,
        kpi_name,
        {{ local_date('entered_at', 'month') }} as entered_month
    from {{ ref('deal_stage_visits') }}
    where
        not is_customer
        and exited_at is distinct from entered_at

),

-- Of months there are few, of visits many.
cohorts as (

    select
        kpi_name,
        entered_month,
        count(*) as visits_count
    from visits
    group by kpi_name, entered_month

),

won_attempts as (

    select
        deal_id,
        attempt_number,
        {{ local_date('closed_at', 'month') }} as won_month,
        {{ local_date('corrected_at', 'month') }} as corrected_month
    from {{ ref('deal_closings') }}
    where outcome = 'won'

),

wins as (

    select
        visits.kpi_name,
        visits.entered_month,
        won_attempts.won_month,
        won_attempts.corrected_month,
        {{ dbt.datediff('visits.entered_month', 'won_attempts.won_month', 'month') }}
            as months_to_win,
        count(*) as visits_count
    from visits
    inner join won_attempts
        on
            visits.deal_id = won_attempts.deal_id
            and visits.attempt_number = won_attempts.attempt_number
    group by
        visits.kpi_name,
        visits.entered_month,
        won_attempts.won_month,
        won_attempts.corrected_month

),

months as (

    {{ date_series('2000-01-01', as_of_date().replace(day=1), 'month') }}

),

-- The wins known at the end of a month, the fastest first.
known_wins as (

    select
        months.date as month,
        wins.kpi_name,
        wins.entered_month,
        wins.months_to_win,
        wins.visits_count,
        sum(wins.visits_count) over (
            partition by months.date, wins.kpi_name order by wins.months_to_win
        ) as wins_so_far,
        sum(wins.visits_count) over (partition by months.date, wins.kpi_name) as wins_count
    from wins
    inner join months
        on
            wins.won_month <= months.date
            and (wins.corrected_month > months.date or wins.corrected_month is null)

),

horizons as (

    select
        month,
        kpi_name,
        min(months_to_win) as horizon_months
    from known_wins
    where wins_so_far >= 0.9 * wins_count
    group by month, kpi_name

),

-- A win within the horizon after a visit that old is no later than the month.
won as (

    select
        horizons.month,
        horizons.kpi_name,
        sum(known_wins.visits_count) as visits_count
    from horizons
    inner join known_wins
        on
            horizons.month = known_wins.month
            and horizons.kpi_name = known_wins.kpi_name
            and horizons.horizon_months >= known_wins.months_to_win
            and {{ dbt.datediff('known_wins.entered_month', 'horizons.month', 'month') }}
            > horizons.horizon_months
    group by horizons.month, horizons.kpi_name

),

judged as (

    select
        horizons.month,
        horizons.kpi_name,
        horizons.horizon_months,
        sum(cohorts.visits_count) as visits_count
    from horizons
    left join cohorts
        on
            horizons.kpi_name = cohorts.kpi_name
            and {{ dbt.datediff('cohorts.entered_month', 'horizons.month', 'month') }}
            > horizons.horizon_months
    group by horizons.month, horizons.kpi_name, horizons.horizon_months

)

select
    judged.month,
    judged.kpi_name,
    cast(judged.horizon_months as integer) as horizon_months,
    cast(coalesce(judged.visits_count, 0) as bigint) as judged_visits_count,
    cast(coalesce(won.visits_count, 0) as bigint) as won_visits_count,
    cast(round(coalesce(won.visits_count, 0) / judged.visits_count, 4) as numeric(18, 4))
        as win_rate
from judged
left join won
    on
        judged.month = won.month
        and judged.kpi_name = won.kpi_name
