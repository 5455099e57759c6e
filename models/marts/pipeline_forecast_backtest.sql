{%- set last_month = (as_of_date() + modules.datetime.timedelta(days=1)).replace(day=1) %}

with

-- What was entered after a deal was won, or lost, says nothing about winning it.
visits as not materialized (

    select
        kpi_name,
        deal_id,
        attempt_outcome,
        {{ local_month('entered_at') }} as entered_month,
        case when attempt_outcome = 'won' then {{ local_month('attempt_ended_at') }} end
            as won_month,
        least(
            {{ local_month('least(exited_at, attempt_ended_at)') }},
            cast('{{ last_month }}' as date)
        ) as left_month
    from {{ ref('deal_stage_visits') }}
    where attempt_ended_at is null or entered_at <= attempt_ended_at

),

-- Of months there are few, of visits many.
stays as (

    select
        visits.kpi_name,
        visits.attempt_outcome,
        visits.entered_month,
        visits.won_month,
        visits.left_month,
        count(*) as deals_count,
        sum(deal_states.value) as value,
        count(deal_states.value) as valued_count
    from visits
    left join {{ ref('deal_states') }} as deal_states
        on visits.deal_id = deal_states.deal_id
    group by
        visits.kpi_name,
        visits.attempt_outcome,
        visits.entered_month,
        visits.won_month,
        visits.left_month

),

cohorts as (

    select
        kpi_name,
        entered_month,
        won_month,
        age(cast(won_month as timestamp), entered_month) as time_to_win,
        sum(deals_count) as visits_count
    from stays
    group by kpi_name, entered_month, won_month

),

-- Seen at the end of a month, by deals whose value was recorded anew after that of the arrival.
revalued_visits as (

    select
        visits.kpi_name,
        visits.entered_month,
        visits.left_month,
        deal_states.value_history
    from visits
    inner join {{ ref('deal_states') }} as deal_states
        on visits.deal_id = deal_states.deal_id
    where
        deal_states.value_history is not null
        and visits.entered_month < visits.left_month
        and visits.entered_month + interval '1 month'
        <= cast(deal_states.value_history -> -1 ->> 'date' as timestamp)

),

value_changes as (

    select
        revalued_visits.kpi_name,
        revalued_visits.entered_month,
        cast(entry.recorded ->> 'value' as numeric) as new_value,
        cast(
            -- The last entry is number -1, and nothing comes before the first.
            revalued_visits.value_history
            -> nullif(cast(entry.position as integer) - 2, -1) ->> 'value' as numeric
        ) as old_value,
        least(
            revalued_visits.left_month,
            cast(date_trunc('month', cast(entry.recorded ->> 'date' as timestamp)) as date)
        ) as until_month
    from revalued_visits
    cross join
        lateral
        jsonb_array_elements(revalued_visits.value_history)
        with ordinality as entry (recorded, position)

),

-- The value at the end of a month is that of today without the changes recorded later.
spells as (

    select
        kpi_name,
        attempt_outcome,
        entered_month,
        left_month as until_month,
        deals_count,
        value,
        valued_count,
        case when attempt_outcome = 'won' then value end as won_value
    from stays
    where entered_month < left_month
    union all
    select
        kpi_name,
        null as attempt_outcome,
        entered_month,
        until_month,
        0 as deals_count,
        coalesce(sum(old_value), 0) - coalesce(sum(new_value), 0) as value,
        count(old_value) - count(new_value) as valued_count,
        null as won_value
    from value_changes
    where entered_month < until_month
    group by kpi_name, entered_month, until_month

),

open_deals as (

    select
        spells.kpi_name,
        spells.entered_month,
        cast(month_ends.month as date) as month,
        sum(spells.deals_count) as deals_count,
        sum(spells.deals_count) filter (where spells.attempt_outcome = 'won') as won_count,
        sum(spells.deals_count) filter (where spells.attempt_outcome is null) as still_open_count,
        sum(spells.won_value) as won_value,
        case when sum(spells.valued_count) > 0 then sum(spells.value) end as value
    from spells
    cross join
        lateral
        generate_series(
            cast(spells.entered_month as timestamp),
            spells.until_month - interval '1 month',
            interval '1 month'
        ) as month_ends (month)
    group by spells.kpi_name, spells.entered_month, month_ends.month

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
        case
            when open_deals.entered_month + win_rates.horizon < open_deals.month then 0
            else win_rates.win_rate
        end as weight
    from open_deals
    left join win_rates
        on
            open_deals.month = win_rates.month
            and open_deals.kpi_name = win_rates.kpi_name

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
