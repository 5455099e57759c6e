{#- Days without a row between the first and the last one. The package ends before its last day, and
    cannot do with one day alone, so the day after is handed to it. -#}
{% test has_every_day(model, column_name) %}

{%- set limits = [none, none] %}
{%- if execute %}
    {%- set limits = run_query(
        "select min(" ~ column_name ~ "), max(" ~ column_name ~ ") + 1 from " ~ model).rows[0] %}
{%- endif %}
{%- if limits[0] is none %}
select 'no day at all' as finding
{%- else %}
{{ dbt_expectations.test_expect_row_values_to_have_data_for_every_n_datepart(
    model, date_col=column_name, test_start_date=limits[0], test_end_date=limits[1]) }}
{%- endif %}

{% endtest %}
