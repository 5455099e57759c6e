{%- set this_month = (as_of_date() + modules.datetime.timedelta(days=1)).replace(day=1) %}
{%- set last_month = (this_month - modules.datetime.timedelta(days=1)).replace(day=1) %}

with

-- The months at whose end an open deal was in a stage: from entered_month until left_month.
stays as (

    select
        deal_id,
        kpi_name,
        attempt_outcome,
        {{ local_month('entered_at') }} as entered_month,
        least(
            {{ local_month('least(exited_at, attempt_ended_at)') }},
            cast('{{ this_month }}' as date)
        ) as left_month
    from {{ ref('deal_stage_visits') }}
    where attempt_ended_at is null or entered_at <= attempt_ended_at

),

-- The months at whose end a value was that of the deal.
deal_values as (

    select
        deal_id,
        value,
        {{ local_month('recorded_at') }} as recorded_month,
        coalesce({{ local_month('replaced_at') }}, cast('{{ this_month }}' as date))
            as replaced_month
    from {{ ref('deal_values') }}
    where value is not null

),

-- Of months there are few, of deals many.
spells as (

    select
        stays.kpi_name,
        stays.entered_month,
        stays.entered_month as since_month,
        stays.left_month as until_month,
        count(*) as deals_count,
        count(case when stays.attempt_outcome = 'won' then 1 end) as won_count,
        count(case when stays.attempt_outcome is null then 1 end) as still_open_count,
        sum(case when stays.attempt_outcome = 'won' then deal_states.value end) as won_value,
        null as value
    from stays
    inner join {{ ref('deal_states') }} as deal_states
        on stays.deal_id = deal_states.deal_id
    where stays.entered_month < stays.left_month
    group by stays.kpi_name, stays.entered_month, stays.left_month
    union all
    select
        stays.kpi_name,
        stays.entered_month,
        greatest(stays.entered_month, deal_values.recorded_month) as since_month,
        least(stays.left_month, deal_values.replaced_month) as until_month,
        0 as deals_count,
        0 as won_count,
        0 as still_open_count,
        null as won_value,
        sum(deal_values.value) as value
    from stays
    inner join deal_values
        on
            stays.deal_id = deal_values.deal_id
            and stays.left_month > deal_values.recorded_month
            and stays.entered_month < deal_values.replaced_month
    where stays.entered_month < stays.left_month
    group by
        stays.kpi_name,
        stays.entered_month,
        greatest(stays.entered_month, deal_values.recorded_month),
        least(stays.left_month, deal_values.replaced_month)

),

months as (

    {{ date_series('2000-01-01', last_month, 'month') }}

),

open_deals as (

    select
        months.date as month,
        spells.kpi_name,
        spells.entered_month,
        sum(spells.deals_count) as deals_count,
        sum(spells.won_count) as won_count,
        sum(spells.still_open_count) as still_open_count,
        sum(spells.won_value) as won_value,
        sum(spells.value) as value
    from spells
    inner join months
        on
            spells.since_month <= months.date
            and spells.until_month > months.date
    group by months.date, spells.kpi_name, spells.entered_month

),

-- No win is expected of a deal that is given up.
weighted as (

    select
        open_deals.*,
        case
            when
                {{ months_between('open_deals.entered_month', 'open_deals.month') }}
                > win_rates.horizon_months
                then 0
            else win_rates.win_rate
        end as weight
    from open_deals
    left join {{ ref('stage_win_rates') }} as win_rates
        on
            open_deals.month = win_rates.month
            and open_deals.kpi_name = win_rates.kpi_name

)

select
    month,
    cast(sum(deals_count) as bigint) as open_deals_count,
    cast(round(sum(weight * deals_count), 4) as numeric(18, 4)) as expected_wins,
    cast(sum(won_count) as bigint) as actual_wins,
    cast(sum(still_open_count) as bigint) as still_open_deals_count,
    cast(round(sum(weight * value), 2) as numeric(18, 2)) as expected_value,
    cast(round(sum(won_value), 2) as numeric(18, 2)) as actual_value
from weighted
group by month
