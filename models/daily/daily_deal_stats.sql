with

deal_kpis as (

    select distinct
        field,
        kpi_name,
        funnel_step
    from {{ ref('deal_kpis') }}

),

counted_changes as (

    select * from {{ ref('deal_staging') }}
    where
        kpi_name is not null
        and deal_id is not null
        and {{ in_window('change_time') }}

),

deal_days as (

    select
        date,
        field,
        kpi_name,
        deal_id,
        min(date) over (partition by field, kpi_name, deal_id, date_trunc('month', date))
            as first_date_in_month
    from counted_changes
    group by date, field, kpi_name, deal_id

),

counts as (

    select
        date,
        field,
        kpi_name,
        count(*) as deals_count,
        count(*) filter (where date = first_date_in_month) as new_deals_count
    from deal_days
    group by date, field, kpi_name

),

days as (

    {{ date_grid() }}

),

-- Days without an event are rows too: replacing a day must also remove what vanished from it.
every_day_and_kpi as (

    select
        days.date,
        deal_kpis.field,
        deal_kpis.kpi_name,
        deal_kpis.funnel_step,
        coalesce(counts.deals_count, 0) as deals_count,
        coalesce(counts.new_deals_count, 0) as new_deals_count
    from days
    cross join deal_kpis
    left join counts
        on
            days.date = counts.date
            and deal_kpis.field = counts.field
            and deal_kpis.kpi_name = counts.kpi_name

)

select * from every_day_and_kpi
