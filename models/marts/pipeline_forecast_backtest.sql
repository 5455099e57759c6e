{%- set this_month = (as_of_date() + modules.datetime.timedelta(days=1)).replace(day=1) %}
{%- set last_month = (this_month - modules.datetime.timedelta(days=1)).replace(day=1) %}

with

-- The months at whose end an open deal was in a stage: from entered_month until left_month.
stays as (

    select
        deal_id,
        attempt_number,
        kpi_name,
        entered_month,
        left_month,
        row_number() over (partition by deal_id order by entered_month, left_month) as stay_number
    from (
        select
            deal_id,
            attempt_number,
            kpi_name,
            {{ local_date('entered_at', 'month') }} as entered_month,
            least(
                {{ local_date('exited_at', 'month') }}, cast('{{ this_month }}' as date)
            ) as left_month
        from {{ ref('deal_stage_visits') }}
        where not is_customer
    ) as visits
    where entered_month < left_month

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

won_stays as (

    select
        stays.*,
        won_attempts.won_month,
        won_attempts.corrected_month
    from stays
    inner join won_attempts
        on
            stays.deal_id = won_attempts.deal_id
            and stays.attempt_number = won_attempts.attempt_number

),

-- All stays, and once more those that were won.
counted as (

    select
        deal_id,
        kpi_name,
        entered_month,
        left_month,
        cast(null as date) as won_month,
        cast(null as date) as corrected_month,
        case when stay_number = 1 then 1 else 0 end as new_count,
        false as is_win
    from stays
    union all
    select
        deal_id,
        kpi_name,
        entered_month,
        left_month,
        won_month,
        corrected_month,
        case when stay_number = 1 then 1 else 0 end as new_count,
        true as is_win
    from won_stays

),

-- Of months there are few, of deals many.
spells as (

    select
        kpi_name,
        is_win,
        entered_month,
        left_month,
        won_month,
        corrected_month,
        count(*) as deals_count,
        sum(new_count) as new_deals_count
    from counted
    group by kpi_name, is_win, entered_month, left_month, won_month, corrected_month

),

-- From the first month at whose end, or in which, a deal was in a stage.
months as (

    select calendar.date as month
    from ({{ date_series('2000-01-01', last_month, 'month') }}) as calendar
    where
        calendar.date >= (
            select min({{ local_date('entered_at', 'month') }}) from {{ ref('deal_stage_visits') }}
        )

),

-- No win is expected of a deal that is given up. Where no rate is known nothing is expected.
open_deals as (

    select
        months.month,
        spells.is_win,
        spells.deals_count,
        win_rates.horizon_months,
        case when spells.entered_month = months.month then spells.new_deals_count else 0 end
            as new_deals_count,
        case
            when win_rates.judged_visits_count = 0 or win_rates.judged_visits_count is null
                then null
            when
                {{ dbt.datediff('spells.entered_month', 'months.month', 'month') }}
                > win_rates.horizon_months
                then 0
            else 1.0 * win_rates.won_visits_count / win_rates.judged_visits_count
        end as weight,
        {{ dbt.datediff('months.month', 'spells.won_month', 'month') }}
        <= win_rates.horizon_months
        and (
            spells.corrected_month is null
            or {{ dbt.datediff('months.month', 'spells.corrected_month', 'month') }}
            > win_rates.horizon_months
        ) as is_won_in_time
    from months
    left join spells
        on
            months.month >= spells.entered_month
            and months.month < spells.left_month
    left join {{ ref('stage_win_rates') }} as win_rates
        on
            months.month = win_rates.month
            and spells.kpi_name = win_rates.kpi_name

),

sums as (

    select
        month,
        sum(case when not is_win then deals_count else 0 end) as open_deals_count,
        sum(case when not is_win and weight is not null then deals_count else 0 end)
            as rated_deals_count,
        sum(case when not is_win and weight is not null then new_deals_count else 0 end)
            as new_deals_count,
        max(case when not is_win and weight is not null and deals_count > 0 then horizon_months end)
            as horizon_months,
        sum(case when not is_win then weight * deals_count else 0 end) as expected_wins,
        sum(case when not is_win then weight * new_deals_count else 0 end) as new_expected_wins,
        sum(case when is_win and is_won_in_time and weight is not null then deals_count else 0 end)
            as actual_wins,
        sum(
            case
                when is_win and is_won_in_time and weight is not null then new_deals_count
                else 0
            end
        ) as new_actual_wins
    from open_deals
    group by month

),

judged as (

    select
        *,
        open_deals_count = 0 or rated_deals_count > 0 as is_rated,
        coalesce(
            {{ dbt.datediff('month', "cast('" ~ last_month ~ "' as date)", 'month') }}
            >= horizon_months,
            true
        ) as is_over
    from sums

)

select
    month,
    cast(open_deals_count as bigint) as open_deals_count,
    cast(rated_deals_count as bigint) as rated_deals_count,
    horizon_months,
    is_over,
    cast(case when is_rated then round(expected_wins, 4) end as numeric(18, 4)) as expected_wins,
    cast(case when is_rated and is_over then actual_wins end as bigint) as actual_wins,
    cast(new_deals_count as bigint) as new_deals_count,
    cast(case when is_rated then round(new_expected_wins, 4) end as numeric(18, 4))
        as new_expected_wins,
    cast(case when is_rated and is_over then new_actual_wins end as bigint) as new_actual_wins
from judged
