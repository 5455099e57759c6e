-- A row here means a month and step whose owners do not add up to the deals of monthly_stats.
-- Process the month again: `funnel backfill --from FIRST_DAY --to LAST_DAY`.
{%- set last_day = last_day_to_process() %}

with

owners as (

    select
        month,
        funnel_step,
        sum(deals_count) as deals_count
    from {{ ref('monthly_stats_by_owner') }}
    where {{ in_test_scope('month', is_date=true) }}
    group by month, funnel_step

),

-- With plain dbt an old reference date ends the owners' month early, but not the funnel's.
cut_short as (

    select cast(date_trunc('month', date) as date) as month
    from {{ ref('daily_deal_stats') }}
    where
        date > cast('{{ last_day }}' as date)
        and date_trunc('month', date) = cast('{{ last_day.replace(day=1) }}' as date)

),

funnel as (

    select * from {{ ref('monthly_stats') }}
    where
        month in (select owners.month from owners)
        and month not in (select cut_short.month from cut_short)

)

select
    funnel.month,
    funnel.funnel_step,
    funnel.deals_count,
    owners.deals_count as owners_deals_count
from funnel
left join owners
    on
        funnel.month = owners.month
        and funnel.funnel_step = owners.funnel_step
where funnel.deals_count <> coalesce(owners.deals_count, 0)
