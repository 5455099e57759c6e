with

kpis as (

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

-- Days without an event are rows too: replacing a day must also remove what vanished from it.
every_day_and_kpi as (

    {{ count_deals(['kpi_name', 'funnel_step']) }}

)

select * from every_day_and_kpi
