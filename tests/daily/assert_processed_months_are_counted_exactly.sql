-- A row here means a KPI whose month-to-date counts are not those of the events: distinct deals,
-- and pairs of a deal and a day. Process the month again, through its last built day: `funnel run
-- --source-dt DATE` does; with plain dbt pass the var process_through.
with

counted_months as (

    select
        cast(date_trunc('month', date) as date) as month,
        'activity' as field,
        kpi_name,
        sum(new_deals_count) as deals_count,
        sum(deals_count) as deal_days_count,
        max(date) as last_day
    from {{ ref('daily_activity_stats') }}
    where {{ in_test_scope('date', is_date=true) }}
    group by date_trunc('month', date), kpi_name
    union all
    select
        cast(date_trunc('month', date) as date) as month,
        field,
        kpi_name,
        sum(new_deals_count) as deals_count,
        sum(deals_count) as deal_days_count,
        max(date) as last_day
    from {{ ref('daily_deal_stats') }}
    where {{ in_test_scope('date', is_date=true) }}
    group by date_trunc('month', date), field, kpi_name

),

deal_days as (

    select distinct
        cast(date_trunc('month', date) as date) as month,
        'activity' as field,
        kpi_name,
        deal_id,
        date
    from {{ ref('activity_staging') }}
    where
        is_done
        and deal_id is not null
        and {{ in_test_scope('due_to') }}
    union all
    select distinct
        cast(date_trunc('month', date) as date) as month,
        field,
        kpi_name,
        deal_id,
        date
    from {{ ref('deal_staging') }}
    where
        kpi_name is not null
        and deal_id is not null
        and {{ in_test_scope('change_time') }}

)

select
    counted_months.month,
    counted_months.field,
    counted_months.kpi_name,
    counted_months.deals_count,
    counted_months.deal_days_count,
    count(distinct deal_days.deal_id) as distinct_deals,
    count(deal_days.deal_id) as distinct_deal_days
from counted_months
left join deal_days
    on
        counted_months.month = deal_days.month
        and counted_months.field = deal_days.field
        and counted_months.kpi_name = deal_days.kpi_name
        and counted_months.last_day >= deal_days.date
group by
    counted_months.month,
    counted_months.field,
    counted_months.kpi_name,
    counted_months.deals_count,
    counted_months.deal_days_count
having
    counted_months.deals_count <> count(distinct deal_days.deal_id)
    or counted_months.deal_days_count <> count(deal_days.deal_id)
