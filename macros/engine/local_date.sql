{%- macro local_date(timestamp_column) -%}
    {%- if checked_var('timezone') == 'UTC' -%}
        cast({{ timestamp_column }} as date)
    {%- else -%}
        {{ adapter.dispatch('local_date')(timestamp_column, checked_var('timezone')) }}
    {%- endif -%}
{%- endmacro -%}

{%- macro postgres__local_date(timestamp_column, zone) -%}
    cast({{ timestamp_column }} at time zone 'UTC' at time zone '{{ zone }}' as date)
{%- endmacro -%}

{%- macro spark__local_date(timestamp_column, zone) -%}
    cast(from_utc_timestamp({{ timestamp_column }}, '{{ zone }}') as date)
{%- endmacro -%}
