with

activity_kpis as (

    select distinct
        kpi_name,
        funnel_step
    from {{ ref('activity_kpis') }}

),

counted_activities as (

    select * from {{ ref('activity_staging') }}
    where
        is_done
        and deal_id is not null
        and {{ in_window('due_to') }}

),

deal_days as (

    select
        date,
        kpi_name,
        deal_id,
        min(date) over (partition by kpi_name, deal_id, date_trunc('month', date))
            as first_date_in_month
    from counted_activities
    group by date, kpi_name, deal_id

),

counts as (

    select
        date,
        kpi_name,
        count(*) as deals_count,
        count(*) filter (where date = first_date_in_month) as new_deals_count
    from deal_days
    group by date, kpi_name

),

days as (

    {{ date_grid() }}

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
            and activity_kpis.kpi_name = counts.kpi_name

)

select * from every_day_and_kpi
