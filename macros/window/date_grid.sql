{%- macro date_grid() -%}
    {%- for first_day, until in window_ranges() %}
    {{ 'union all' if not loop.first }}
    {{ date_series(first_day, until - modules.datetime.timedelta(days=1)) }}
    {%- endfor %}
{%- endmacro -%}
