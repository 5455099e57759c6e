{%- macro count_deals(events) -%}
    select
        all_deals.date,
        all_deals.kpi_number,
        all_deals.deals_count,
        coalesce(new_deals.deals_count, 0) as new_deals_count
    from (
        select date, kpi_number, count(distinct deal_id) as deals_count
        from {{ events }}
        group by date, kpi_number
    ) as all_deals
    left join (
        select date, kpi_number, count(*) as deals_count
        from (
            select min(date) as date, kpi_number, deal_id
            from {{ events }}
            group by date_trunc('month', cast(date as timestamp)), kpi_number, deal_id
        ) as first_days
        group by date, kpi_number
    ) as new_deals
        on all_deals.date = new_deals.date and all_deals.kpi_number = new_deals.kpi_number
{%- endmacro -%}
