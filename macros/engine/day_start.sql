{%- macro day_start(day) -%}
    {%- if checked_var('timezone') == 'UTC' -%}
        cast('{{ day }}' as timestamp)
    {%- else -%}
        {{ adapter.dispatch('day_start')(day, checked_var('timezone')) }}
    {%- endif -%}
{%- endmacro -%}

{#- Where clocks change at night, midnight can come twice: the first one follows the day before. -#}
{%- macro postgres__day_start(day, zone) -%}
    {%- set midnight = "cast('" ~ day ~ "' as timestamp)" -%}
    {%- set instant = "interval '1 microsecond'" -%}
    least(
        {{ midnight }} at time zone '{{ zone }}' at time zone 'UTC',
        ({{ midnight }} - {{ instant }}) at time zone '{{ zone }}' at time zone 'UTC' + {{ instant }}
    )
{%- endmacro -%}

{%- macro spark__day_start(day, zone) -%}
    to_utc_timestamp(cast('{{ day }}' as timestamp), '{{ zone }}')
{%- endmacro -%}
