{%- set last_month = (as_of_date() + modules.datetime.timedelta(days=1)).replace(day=1) %}

with

-- What was entered after a deal was won, or lost, says nothing about winning it.
visits as (

    select
        kpi_name,
        deal_id,
        attempt_number,
        attempt_outcome,
        cast(date_trunc('month', {{ local_date('entered_at') }}) as date) as entered_month,
        cast(date_trunc('month', {{ local_date('attempt_ended_at') }}) as date) as ended_month,
        cast(
            date_trunc('month', {{ local_date('least(exited_at, attempt_ended_at)') }}) as date
        ) as left_month
    from {{ ref('deal_stage_visits') }}
    where attempt_ended_at is null or entered_at <= attempt_ended_at

),

-- Where each open deal was at the end of each month that is over.
open_deals as (

    select
        visits.kpi_name,
        visits.deal_id,
        visits.attempt_outcome,
        cast(month_ends.month as date) as month
    from visits
    cross join
        lateral
        generate_series(
            cast(visits.entered_month as timestamp),
            least(
                cast(coalesce(visits.left_month, '{{ last_month }}') as timestamp),
                cast('{{ last_month }}' as timestamp)
            ) - interval '1 month',
            interval '1 month'
        ) as month_ends (month)

),

attempts as (

    select distinct
        kpi_name,
        deal_id,
        attempt_number,
        attempt_outcome,
        ended_month
    from visits
    where ended_month is not null

),

closings as (

    select
        kpi_name,
        ended_month as month,
        count(*) as closed_count,
        count(*) filter (where attempt_outcome = 'won') as won_count
    from attempts
    group by kpi_name, ended_month

),

months as (

    select month from open_deals
    union
    select month from closings

),

places as (

    select distinct kpi_name from visits

),

-- The win rate of a step as it was known at the end of a month.
win_rates as (

    select
        months.month,
        places.kpi_name,
        round(
            1.0 * sum(closings.won_count) over so_far
            / nullif(sum(closings.closed_count) over so_far, 0), 4
        ) as win_rate
    from months
    cross join places
    left join closings
        on
            months.month = closings.month
            and places.kpi_name = closings.kpi_name
    window so_far as (partition by places.kpi_name order by months.month)

),

-- From one recorded value to the next.
values_over_time as (

    select
        deal_states.deal_id,
        cast(recording.recorded ->> 'value' as numeric) as value,
        cast(recording.recorded ->> 'date' as date) as recorded_on,
        lead(cast(recording.recorded ->> 'date' as date))
            over (partition by deal_states.deal_id order by recording.change_number) as replaced_on
    from {{ ref('deal_states') }} as deal_states
    cross join
        lateral jsonb_array_elements(deal_states.value_history)
        with ordinality as recording (recorded, change_number)

),

valued_deals as (

    select
        open_deals.month,
        open_deals.attempt_outcome,
        win_rates.win_rate,
        deal_states.value as value_now,
        values_over_time.value as value_then
    from open_deals
    inner join win_rates
        on
            open_deals.month = win_rates.month
            and open_deals.kpi_name = win_rates.kpi_name
    inner join {{ ref('deal_states') }} as deal_states
        on open_deals.deal_id = deal_states.deal_id
    left join values_over_time
        on
            open_deals.deal_id = values_over_time.deal_id
            and values_over_time.recorded_on < open_deals.month + interval '1 month'
            and coalesce(
                values_over_time.replaced_on >= open_deals.month + interval '1 month', true
            )

),

forecasts as (

    select
        month,
        cast(round(sum(win_rate), 4) as numeric(18, 4)) as expected_wins,
        cast(round(sum(win_rate * value_then), 2) as numeric(18, 2)) as expected_value,
        cast(round(sum(value_now) filter (where attempt_outcome = 'won'), 2) as numeric(18, 2))
            as actual_value,
        count(*) as open_deals_count,
        count(*) filter (where attempt_outcome = 'won') as actual_wins,
        count(*) filter (where attempt_outcome is null) as still_open_deals_count
    from valued_deals
    group by month

)

select
    month,
    open_deals_count,
    expected_wins,
    actual_wins,
    still_open_deals_count,
    expected_value,
    actual_value
from forecasts
