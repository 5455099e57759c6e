with

activity_kpis as (

    select distinct
        kpi_number,
        kpi_name,
        funnel_step
    from {{ ref('activity_kpis') }}

),

events as (

    select
        date,
        kpi_number,
        deal_id
    from {{ ref('activity_staging') }}
    where
        is_done
        and deal_id is not null
        and {{ in_window('due_to') }}

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
        activity_kpis.kpi_name,
        activity_kpis.funnel_step,
        coalesce(deal_counts.deals_count, 0) as deals_count,
        coalesce(deal_counts.new_deals_count, 0) as new_deals_count
    from days
    cross join activity_kpis
    left join deal_counts
        on
            days.date = deal_counts.date
            and activity_kpis.kpi_number = deal_counts.kpi_number

)

select * from every_day_and_kpi
