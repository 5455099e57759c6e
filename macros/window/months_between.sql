{%- macro months_between(first_month, last_month) -%}
    cast(
        12 * (extract(year from {{ last_month }}) - extract(year from {{ first_month }}))
        + extract(month from {{ last_month }}) - extract(month from {{ first_month }})
        as integer
    )
{%- endmacro -%}
