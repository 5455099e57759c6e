{%- macro date_grid() -%}
    {%- for first_day, until in window_ranges() %}
    {{ 'union all' if not loop.first }}
    select cast(day as date) as date
    from generate_series(
        cast('{{ first_day }}' as timestamp),
        cast('{{ until - modules.datetime.timedelta(days=1) }}' as timestamp),
        interval '1 day'
    ) as day
    {%- endfor %}
{%- endmacro -%}
