{%- macro count_deals(kpi_columns) -%}
    with days as (
        {%- for first_day, until in window_ranges() %}
        {{ 'union all' if not loop.first }}
        {{ date_series(first_day, until - modules.datetime.timedelta(days=1)) }}
        {%- endfor %}
    ),

    deals as (
        select date, kpi_number, count(distinct deal_id) as deals_count
        from events
        group by date, kpi_number
    ),

    first_days as (
        select min(date) as date, kpi_number, deal_id
        from events
        group by {{ dbt.date_trunc('month', 'cast(date as timestamp)') }}, kpi_number, deal_id
    ),

    new_deals as (
        select date, kpi_number, count(*) as deals_count
        from first_days
        group by date, kpi_number
    )

    select
        days.date,
        {%- for column in kpi_columns %}
        kpis.{{ column }},
        {%- endfor %}
        coalesce(deals.deals_count, 0) as deals_count,
        coalesce(new_deals.deals_count, 0) as new_deals_count
        {{- ', ' ~ dbt.cast(dbt.date_trunc('month', 'days.date'), 'date') ~ ' as month'
            if config.get('partition_by') }}
    from days
    cross join kpis
    left join deals on days.date = deals.date and kpis.kpi_number = deals.kpi_number
    left join new_deals on days.date = new_deals.date and kpis.kpi_number = new_deals.kpi_number
{%- endmacro -%}
