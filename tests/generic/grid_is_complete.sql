{#- Within a month, from its first day to the last one built, every day has every KPI once. -#}
{% test grid_is_complete(model, kpi_columns) %}

select
    date_trunc('month', date) as month,
    count(*) as row_count,
    count(distinct date) as day_count,
    count(distinct concat_ws(' / ', {{ kpi_columns | join(', ') }})) as kpi_count,
    max(date) as last_day
from {{ model }}
group by date_trunc('month', date)
having
    count(distinct date) <> extract(day from max(date))
    or count(*)
    <> count(distinct date) * count(distinct concat_ws(' / ', {{ kpi_columns | join(', ') }}))

{% endtest %}
