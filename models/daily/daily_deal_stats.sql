with

deal_kpis as (

    select distinct
        kpi_number,
        field,
        kpi_name,
        funnel_step
    from {{ ref('deal_kpis') }}

),

events as (

    select
        date,
        kpi_number,
        deal_id
    from {{ ref('deal_staging') }}
    where
        kpi_number is not null
        and deal_id is not null
        and {{ in_window('change_time') }}

),

deal_counts as (

    {{ count_deals('events') }}

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
        coalesce(deal_counts.deals_count, 0) as deals_count,
        coalesce(deal_counts.new_deals_count, 0) as new_deals_count
    from days
    cross join deal_kpis
    left join deal_counts
        on
            days.date = deal_counts.date
            and deal_kpis.kpi_number = deal_counts.kpi_number

)

select * from every_day_and_kpi
