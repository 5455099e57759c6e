{%- set last_month = (as_of_date() + modules.datetime.timedelta(days=1)).replace(day=1) %}

with

-- What was entered after a deal was won, or lost, says nothing about winning it.
visits as (

    select
        kpi_name,
        deal_id,
        attempt_outcome,
        cast(date_trunc('month', {{ local_date('entered_at') }}) as date) as entered_month,
        cast(date_trunc('month', {{ local_date('attempt_ended_at') }}) as date) as ended_month,
        least(
            cast(
                date_trunc('month', {{ local_date('least(exited_at, attempt_ended_at)') }}) as date
            ),
            cast('{{ last_month }}' as date)
        ) as left_month
    from {{ ref('deal_stage_visits') }}
    where attempt_ended_at is null or entered_at <= attempt_ended_at

),

-- Visits that lasted over the end of a month, and are so seen in the forecast of it.
stays as (

    select
        visits.kpi_name,
        visits.attempt_outcome,
        visits.entered_month,
        visits.left_month,
        deal_states.value as value_now,
        deal_states.value_history
    from visits
    inner join {{ ref('deal_states') }} as deal_states
        on visits.deal_id = deal_states.deal_id
    where visits.entered_month < visits.left_month

),

-- Added up before they are spread over their months: of those there are few, of visits many.
spells as (

    select
        kpi_name,
        attempt_outcome,
        entered_month,
        left_month,
        count(*) as deals_count,
        sum(value_now) filter (where attempt_outcome = 'won') as won_value
    from stays
    group by kpi_name, attempt_outcome, entered_month, left_month

),

-- A value counts from the month in which it was recorded until that of the next one.
value_spells as (

    select
        stays.kpi_name,
        stays.entered_month,
        greatest(
            stays.entered_month,
            cast(date_trunc('month', cast(entry.recorded ->> 'date' as date)) as date)
        ) as begin_month,
        least(
            stays.left_month,
            cast(
                date_trunc(
                    'month',
                    cast(
                        stays.value_history -> cast(entry.position as integer) ->> 'date' as date
                    )
                ) as date
            )
        ) as end_month,
        sum(cast(entry.recorded ->> 'value' as numeric)) as value
    from stays
    cross join
        lateral
        jsonb_array_elements(stays.value_history) with ordinality as entry (recorded, position)
    group by stays.kpi_name, stays.entered_month, begin_month, end_month

),

open_deals as (

    select
        spells.kpi_name,
        spells.entered_month,
        cast(month_ends.month as date) as month,
        sum(spells.deals_count) as deals_count,
        sum(spells.deals_count) filter (where spells.attempt_outcome = 'won') as won_count,
        sum(spells.deals_count) filter (where spells.attempt_outcome is null) as still_open_count,
        sum(spells.won_value) as won_value
    from spells
    cross join
        lateral
        generate_series(
            cast(spells.entered_month as timestamp),
            spells.left_month - interval '1 month',
            interval '1 month'
        ) as month_ends (month)
    group by spells.kpi_name, spells.entered_month, month_ends.month

),

open_values as (

    select
        value_spells.kpi_name,
        value_spells.entered_month,
        cast(month_ends.month as date) as month,
        sum(value_spells.value) as value
    from value_spells
    cross join
        lateral
        generate_series(
            cast(value_spells.begin_month as timestamp),
            value_spells.end_month - interval '1 month',
            interval '1 month'
        ) as month_ends (month)
    group by value_spells.kpi_name, value_spells.entered_month, month_ends.month

),

cohorts as (

    select
        kpi_name,
        entered_month,
        case when attempt_outcome = 'won' then ended_month end as won_month,
        case
            when attempt_outcome = 'won' then age(cast(ended_month as timestamp), entered_month)
        end as time_to_win,
        count(*) as visits_count
    from visits
    group by kpi_name, entered_month, won_month, time_to_win

),

months as (

    select distinct month from open_deals

),

-- The wins known at the end of a month, the fastest first.
wins as (

    select
        months.month,
        cohorts.kpi_name,
        cohorts.time_to_win,
        sum(cohorts.visits_count) over (
            partition by months.month, cohorts.kpi_name order by cohorts.time_to_win
        ) as wins_so_far,
        sum(cohorts.visits_count) over (
            partition by months.month, cohorts.kpi_name
        ) as wins_count
    from cohorts
    inner join months
        on cohorts.won_month <= months.month

),

horizons as (

    select
        month,
        kpi_name,
        min(time_to_win) as horizon
    from wins
    where wins_so_far >= 0.9 * wins_count
    group by month, kpi_name

),

-- A win within the horizon after a visit that old is no later than the month.
win_rates as (

    select
        horizons.month,
        horizons.kpi_name,
        horizons.horizon,
        round(
            coalesce(sum(cohorts.visits_count) filter (
                where cohorts.won_month <= cohorts.entered_month + horizons.horizon
            ), 0) / sum(cohorts.visits_count), 4
        ) as win_rate
    from horizons
    inner join cohorts
        on
            horizons.kpi_name = cohorts.kpi_name
            and cohorts.entered_month + horizons.horizon < horizons.month
    group by horizons.month, horizons.kpi_name, horizons.horizon

),

weighted as (

    select
        open_deals.*,
        open_values.value,
        case
            when open_deals.entered_month + win_rates.horizon < open_deals.month then 0
            else win_rates.win_rate
        end as weight
    from open_deals
    left join win_rates
        on
            open_deals.month = win_rates.month
            and open_deals.kpi_name = win_rates.kpi_name
    left join open_values
        on
            open_deals.month = open_values.month
            and open_deals.kpi_name = open_values.kpi_name
            and open_deals.entered_month = open_values.entered_month

)

select
    month,
    cast(sum(deals_count) as bigint) as open_deals_count,
    cast(round(sum(weight * deals_count), 4) as numeric(18, 4)) as expected_wins,
    cast(coalesce(sum(won_count), 0) as bigint) as actual_wins,
    cast(coalesce(sum(still_open_count), 0) as bigint) as still_open_deals_count,
    cast(round(sum(weight * value), 2) as numeric(18, 2)) as expected_value,
    cast(round(sum(won_value), 2) as numeric(18, 2)) as actual_value
from weighted
group by month
