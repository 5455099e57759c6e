{%- macro in_window(timestamp_column) -%}
    (
        {%- for first_day, until in window_ranges() %}
        {{ 'or ' if not loop.first }}(
            {{ timestamp_column }} >= {{ day_start(first_day) }}
            and {{ timestamp_column }} < {{ day_start(until) }}
        )
        {%- endfor %}
    )
{%- endmacro -%}
