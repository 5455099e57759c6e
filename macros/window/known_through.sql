{%- macro known_through() -%}
    {{ return([as_of_date(), checked_var('deals_known_through') or as_of_date()] | min) }}
{%- endmacro -%}
