{%- macro local_month(timestamp_column) -%}
    {%- if checked_var('timezone') == 'UTC' -%}
        cast({{ dbt.date_trunc('month', timestamp_column) }} as date)
    {%- else -%}
        {{ adapter.dispatch('local_month')(timestamp_column, checked_var('timezone')) }}
    {%- endif -%}
{%- endmacro -%}

{#- Truncated as a timestamp: of a date the server first makes one with a time zone. -#}
{%- macro postgres__local_month(timestamp_column, zone) -%}
    cast(
        date_trunc('month', {{ timestamp_column }} at time zone 'UTC' at time zone '{{ zone }}')
        as date
    )
{%- endmacro -%}

{%- macro spark__local_month(timestamp_column, zone) -%}
    trunc(from_utc_timestamp({{ timestamp_column }}, '{{ zone }}'), 'month')
{%- endmacro -%}
