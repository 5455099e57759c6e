{%- macro reporting_timezone() -%}
    {{ return(checked_var('timezone')) }}
{%- endmacro -%}
