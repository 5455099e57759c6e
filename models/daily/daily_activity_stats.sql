with

activity_kpis as (

    select distinct
        kpi_number,
        kpi_name,
        funnel_step
    from {{ ref('activity_kpis') }}

),

-- All that the counts need of a deal's month is on which days it had an event: the bits of a
-- number, the first day's the lowest. Month by month, so that the deals of one fit into memory and
-- its events are read through the index, however many months there are. The view stands in each: a
-- CTE that is used twice would be computed for all time.
deal_months as (

    {%- for first_day, until in month_ranges() %}
        {{ 'union all' if not loop.first }}
        select
            cast('{{ first_day }}' as date) as month,
            kpi_number,
            deal_id,
            bit_or(1 << (date - cast('{{ first_day }}' as date))) as event_days
        from {{ ref('activity_staging') }}
        where
            is_done
            and deal_id is not null
            and due_to >= {{ day_start(first_day) }}
            and due_to < {{ day_start(until) }}
        group by kpi_number, deal_id
    {%- endfor %}

),

-- Most deals of a month have one event of a KPI, so there are few patterns of days.
day_patterns as (

    select
        month,
        kpi_number,
        event_days,
        count(*) as pattern_deals_count
    from deal_months
    group by month, kpi_number, event_days

),

grid as (

    {{ date_grid() }}

),

days as (

    select
        date,
        cast(date_trunc('month', date) as date) as month,
        1 << cast(extract(day from date) - 1 as integer) as day_bit
    from grid

),

counts as (

    select
        days.date,
        day_patterns.kpi_number,
        cast(sum(day_patterns.pattern_deals_count) as bigint) as deals_count,
        cast(
            sum(day_patterns.pattern_deals_count)
            -- No bit below this one.
            filter (where day_patterns.event_days & (days.day_bit - 1) = 0)
            as bigint
        ) as new_deals_count
    from day_patterns
    inner join days
        on
            day_patterns.month = days.month
            and day_patterns.event_days & days.day_bit <> 0
    group by days.date, day_patterns.kpi_number

),

-- Days without an event are rows too: replacing a day must also remove what vanished from it.
every_day_and_kpi as (

    select
        days.date,
        activity_kpis.kpi_name,
        activity_kpis.funnel_step,
        coalesce(counts.deals_count, 0) as deals_count,
        coalesce(counts.new_deals_count, 0) as new_deals_count
    from days
    cross join activity_kpis
    left join counts
        on
            days.date = counts.date
            and activity_kpis.kpi_number = counts.kpi_number

)

select * from every_day_and_kpi
