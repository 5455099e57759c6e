{#- Within a month, from its first day to the last one built, every day has every KPI once. In the
    months that the run processes these are the KPIs of today. -#}
{% test grid_is_complete(model, kpis, kpi_columns) %}

with

kpis as (

    select count(*) as kpi_count
    from (select distinct {{ kpi_columns | join(', ') }} from {{ kpis }}) as distinct_kpis

),

months as (

    select
        cast(date_trunc('month', date) as date) as month,
        count(*) as row_count,
        count(distinct date) as day_count,
        count(distinct concat_ws(' / ', {{ kpi_columns | join(', ') }})) as kpi_count,
        max(date) as last_day,
        cast(date_trunc('month', date) as date) in (
            '{{ window_months(first_build=false) | join("', '") }}'
        ) as is_in_window
    from {{ model }}
    group by date_trunc('month', date)

)

select
    months.*,
    kpis.kpi_count as kpi_count_today
from months
cross join kpis
where
    months.day_count <> extract(day from months.last_day)
    or months.row_count <> months.day_count * months.kpi_count
    or (months.is_in_window and months.kpi_count <> kpis.kpi_count)

{% endtest %}
