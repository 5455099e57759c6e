with

kpis as (

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

-- Days without an event are rows too: replacing a day must also remove what vanished from it.
every_day_and_kpi as (

    {{ count_deals(['field', 'kpi_name', 'funnel_step']) }}

)

select * from every_day_and_kpi
