{#- Days (or other parts, or groups of `interval` parts) between the two dates that have no row. The
    end is exclusive; dates that are not given are the model's first and last. -#}
{% test expect_row_values_to_have_data_for_every_n_datepart(
    model, date_col, date_part='day', interval=none, row_condition=none, exclusion_condition=none,
    test_start_date=none, test_end_date=none
) %}

{%- if execute and not (test_start_date and test_end_date) %}
    {%- set found = run_query(
        "select min(cast(" ~ date_col ~ " as date)), max(cast(" ~ date_col ~ " as date)) from "
        ~ model ~ " as tested where " ~ (row_condition or 'true')).rows[0] %}
    {%- if found[0] is none %}
        {{ exceptions.raise_compiler_error(model ~ " has no row, so no first and last date.") }}
    {%- endif %}
{%- endif %}
{%- set first = "cast('" ~ (test_start_date or (found or [none])[0]) ~ "' as timestamp)" %}
{%- set last = "cast('" ~ (test_end_date or (found or [none])[1]) ~ "' as timestamp)" %}
{%- set length = interval or 1 %}
with

filled_periods as (

    select distinct
        floor(1.0 * {{ dbt.datediff(first, date_col, date_part) }} / {{ length }}) as number
    from {{ model }} as tested
    where {{ row_condition or 'true' }}

),

dates as (

    {{ dbt.date_spine(date_part, first, last) }}

),

periods as (

    select
        {{ dbt.datediff(first, 'date_' ~ date_part, date_part) }} as date_number,
        date_{{ date_part }}
    from dates

)

select
    date_{{ date_part }},
    true as is_missing,
    0 as row_cnt
from periods
where
    mod(date_number, {{ length }}) = 0
    and date_number / {{ length }} not in (select filled_periods.number from filled_periods)
    and {{ exclusion_condition or 'true' }}

{% endtest %}
