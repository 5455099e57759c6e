{%- macro local_month(timestamp_column) -%}
    {#- Truncated as a timestamp: of a date the server first makes one with a time zone. -#}
    {%- set zone = checked_var('timezone') -%}
    {%- if zone == 'UTC' -%}
        cast(date_trunc('month', {{ timestamp_column }}) as date)
    {%- else -%}
        cast(
            date_trunc('month', {{ timestamp_column }} at time zone 'UTC' at time zone '{{ zone }}')
            as date
        )
    {%- endif -%}
{%- endmacro -%}
