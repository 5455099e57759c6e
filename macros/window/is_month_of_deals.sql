{%- macro is_month_of_deals() -%}
    {%- set first_unknown_day = known_through() + modules.datetime.timedelta(days=1) -%}
    (
        month in ({{ list_months(first_build=false) }})
        or month >= cast('{{ first_unknown_day.replace(day=1) }}' as date)
    )
{%- endmacro -%}
