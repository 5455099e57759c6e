with

daily_deal_stats as (

    select
        cast({{ dbt.date_trunc('month', 'cast(date as timestamp)') }} as date) as month,
        field,
        kpi_name,
        funnel_step,
        deals_count,
        new_deals_count
    from {{ ref('daily_deal_stats') }}

)

-- A deal is new once a month, so the sum over days is the number of distinct deals of the month.
select
    month,
    field,
    kpi_name,
    funnel_step,
    cast(sum(new_deals_count) as bigint) as deals_count,
    cast(sum(deals_count) as bigint) as deal_days_count
from daily_deal_stats
group by month, field, kpi_name, funnel_step
