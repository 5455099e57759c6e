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

-- Distinct, instead of counting distinct deals later, for which the server would sort all events.
deal_days as (

    select distinct
        {{ local_month('due_to') }} as month,
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
        {{ local_month('change_time') }} as month,
        field,
        kpi_name,
        deal_id,
        date
    from {{ ref('deal_staging') }}
    where
        kpi_name is not null
        and deal_id is not null
        and {{ in_test_scope('change_time') }}

),

deals as (

    select
        deal_days.month,
        deal_days.field,
        deal_days.kpi_name,
        deal_days.deal_id,
        count(*) as days_count
    from deal_days
    inner join counted_months
        on
            deal_days.month = counted_months.month
            and deal_days.field = counted_months.field
            and deal_days.kpi_name = counted_months.kpi_name
            and deal_days.date <= counted_months.last_day
    group by deal_days.month, deal_days.field, deal_days.kpi_name, deal_days.deal_id

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
