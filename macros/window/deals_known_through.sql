{%- macro deals_known_through() -%}
    {{ return(none if var('deals_known_through') is none else date_var('deals_known_through')) }}
{%- endmacro -%}
