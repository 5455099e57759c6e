-- A row here means a KPI whose month-to-date count is not the number of distinct deals in the raw
-- tables, for the month of the reference date. Process the month again, through its last built
-- day: `funnel run --source-dt DATE` does; with plain dbt pass the var process_through.
{%- set first_day = ref_date().replace(day=1) %}
{%- set next_month = (first_day + modules.datetime.timedelta(days=32)).replace(day=1) %}

with

counted as (

    select
        date,
        'activity' as field,
        kpi_name,
        new_deals_count
    from {{ ref('daily_activity_stats') }}
    union all
    select
        date,
        field,
        kpi_name,
        new_deals_count
    from {{ ref('daily_deal_stats') }}

),

months_to_date as (

    select
        field,
        kpi_name,
        sum(new_deals_count) as deals_count,
        max(date) as last_day
    from counted
    where
        date >= cast('{{ first_day }}' as date)
        and date < cast('{{ next_month }}' as date)
    group by field, kpi_name

),

events as (

    select
        'activity' as field,
        kpi_name,
        deal_id,
        date
    from {{ ref('activity_staging') }}
    where
        is_done
        and due_to >= {{ day_start(first_day) }}
        and due_to < {{ day_start(next_month) }}
    union all
    select
        field,
        kpi_name,
        deal_id,
        date
    from {{ ref('deal_staging') }}
    where
        change_time >= {{ day_start(first_day) }}
        and change_time < {{ day_start(next_month) }}

)

select
    months_to_date.field,
    months_to_date.kpi_name,
    months_to_date.deals_count,
    count(distinct events.deal_id) as distinct_deals
from months_to_date
left join events
    on
        months_to_date.field = events.field
        and months_to_date.kpi_name = events.kpi_name
        and months_to_date.last_day >= events.date
group by
    months_to_date.field,
    months_to_date.kpi_name,
    months_to_date.deals_count
having months_to_date.deals_count <> count(distinct events.deal_id)
