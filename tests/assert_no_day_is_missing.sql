-- A row here means a day between the first and the last one built that a daily table lacks, so
-- that its month is too low or absent. `funnel run` processes such months again; with plain dbt
-- name them in the var reprocess_months.
{{ config(severity='warn') }}

with

days as (

    select
        'daily_activity_stats' as daily_table,
        date
    from {{ ref('daily_activity_stats') }}
    group by date
    union all
    select
        'daily_deal_stats' as daily_table,
        date
    from {{ ref('daily_deal_stats') }}
    group by date

),

built as (

    select
        cast(min(date) as timestamp) as first_day,
        cast(max(date) as timestamp) as last_day
    from days

),

every_table_and_day as (

    select
        daily_tables.daily_table,
        cast(calendar.day_start as date) as date
    from built
    cross join
        generate_series(built.first_day, built.last_day, interval '1 day') as calendar (day_start)
    cross join (
        values ('daily_activity_stats'), ('daily_deal_stats')
    ) as daily_tables (daily_table)

)

select
    every_table_and_day.daily_table,
    every_table_and_day.date
from every_table_and_day
left join days
    on
        every_table_and_day.date = days.date
        and every_table_and_day.daily_table = days.daily_table
where days.date is null
