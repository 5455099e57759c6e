{%- macro local_date(timestamp_column, part='day') -%}
    {%- set zone = checked_var('timezone') -%}
    {%- set moment = timestamp_column if zone == 'UTC'
        else adapter.dispatch('local_date')(timestamp_column, zone) -%}
    cast({{ dbt.date_trunc(part, moment) if part != 'day' else moment }} as date)
{%- endmacro -%}

{#- A timestamp: of a date the server would first make one with a time zone to find its month. -#}
{%- macro postgres__local_date(timestamp_column, zone) -%}
    {{ timestamp_column }} at time zone 'UTC' at time zone '{{ zone }}'
{%- endmacro -%}

{%- macro spark__local_date(timestamp_column, zone) -%}
    from_utc_timestamp({{ timestamp_column }}, '{{ zone }}')
{%- endmacro -%}
