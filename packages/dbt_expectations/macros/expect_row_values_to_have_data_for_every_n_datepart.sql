{#- Days (or other parts, or groups of `interval` parts) between the two dates that have no row. The
    end is exclusive; dates that are not given are the model's first and last. -#}
{% test expect_row_values_to_have_data_for_every_n_datepart(
    model, date_col, date_part='day', interval=none, row_condition=none, exclusion_condition=none,
    test_start_date=none, test_end_date=none
) %}

{%- set first = "'" ~ test_start_date ~ "'" if test_start_date else 'min(moment)' %}
{%- set last = "'" ~ test_end_date ~ "'" if test_end_date else 'max(moment)' %}
with

model_rows as (

    select cast({{ date_col }} as timestamp) as moment
    from {{ model }} as tested
    where {{ row_condition or 'true' }}

),

limits as (

    select
        cast({{ first }} as timestamp) as first_moment,
        cast({{ last }} as timestamp) as last_moment
    from model_rows

),

filled_periods as (

    select distinct
        {{ dbt.datediff('first_moment', 'moment', date_part) }} / {{ interval or 1 }} as number
    from model_rows
    cross join limits

),

periods as (

    select
        number,
        first_moment + number * {{ interval or 1 }} * interval '1 {{ date_part }}'
            as date_{{ date_part }}
    from limits
    cross join generate_series(
        0, {{ dbt.datediff('first_moment', 'last_moment', date_part) }} / {{ interval or 1 }}
    ) as number

)

select
    date_{{ date_part }},
    true as is_missing,
    0 as row_cnt
from periods
cross join limits
where
    date_{{ date_part }} < last_moment
    and not exists (
        select 1 from filled_periods where filled_periods.number = periods.number
    )
    and {{ exclusion_condition or 'true' }}

{% endtest %}
