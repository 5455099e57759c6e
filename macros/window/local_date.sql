{%- macro local_date(timestamp_column) -%}
    {%- set zone = checked_var('timezone') -%}
    {%- if zone == 'UTC' -%}
        cast({{ timestamp_column }} as date)
    {%- else -%}
        cast({{ timestamp_column }} at time zone 'UTC' at time zone '{{ zone }}' as date)
    {%- endif -%}
{%- endmacro -%}
