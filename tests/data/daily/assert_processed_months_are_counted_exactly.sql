-- A row here means a KPI whose month-to-date counts are not those of the events: distinct deals,
-- and pairs of a deal and a day. Process the month again, through its last built day: `funnel run
-- --source-dt DATE` does; with plain dbt pass the var process_through.
with

counted_days as (

    select
        date,
        cast(date_trunc('month', date) as date) as month,
        'activity' as field,
        kpi_name,
        new_deals_count,
        deals_count
    from {{ ref('daily_activity_stats') }}
    where {{ in_test_scope('date', is_date=true) }}
    union all
    select
        date,
        cast(date_trunc('month', date) as date) as month,
        field,
        kpi_name,
        new_deals_count,
        deals_count
    from {{ ref('daily_deal_stats') }}
    where {{ in_test_scope('date', is_date=true) }}

),

counted_months as (

    select
        month,
        field,
        kpi_name,
        sum(new_deals_count) as deals_count,
        sum(deals_count) as deal_days_count,
        max(date) as last_day
    from counted_days
    group by month, field, kpi_name

),

-- Of a month that is not over, the days that are built.
last_days as (

    select
        month,
        field,
        min(last_day) as last_day
    from counted_months
    group by month, field

),

events as (

    select
        deal_id,
        {{ local_date('due_to', 'month') }} as month,
        'activity' as field,
        kpi_name,
        date
    from {{ ref('activity_staging') }}
    where
        is_done
        and deal_id is not null
        and {{ in_test_scope('due_to') }}
    union all
    select
        deal_id,
        {{ local_date('change_time', 'month') }} as month,
        field,
        kpi_name,
        date
    from {{ ref('deal_staging') }}
    where
        kpi_name is not null
        and deal_id is not null
        and {{ in_test_scope('change_time') }}

),

deals as (

    select
        events.deal_id,
        events.month,
        events.field,
        events.kpi_name,
        count(distinct events.date) as days_count
    from events
    inner join last_days
        on
            events.month = last_days.month
            and events.field = last_days.field
            and events.date <= last_days.last_day
    group by events.deal_id, events.month, events.field, events.kpi_name

),

months as (

    select
        month,
        field,
        kpi_name,
        count(*) as distinct_deals,
        sum(days_count) as distinct_deal_days
    from deals
    group by month, field, kpi_name

)

select
    counted_months.month,
    counted_months.field,
    counted_months.kpi_name,
    counted_months.deals_count,
    counted_months.deal_days_count,
    coalesce(months.distinct_deals, 0) as distinct_deals,
    coalesce(months.distinct_deal_days, 0) as distinct_deal_days
from counted_months
left join months
    on
        counted_months.month = months.month
        and counted_months.field = months.field
        and counted_months.kpi_name = months.kpi_name
where
    counted_months.deals_count <> coalesce(months.distinct_deals, 0)
    or counted_months.deal_days_count <> coalesce(months.distinct_deal_days, 0)
