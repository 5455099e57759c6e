{#- The month-to-date sum of new_deals_count ends at the month's deals_count, for every KPI. -#}
{% test running_sum_ends_at_month(model, monthly, kpi_columns) %}

with

daily_sums as (

    select
        cast(date_trunc('month', date) as date) as month,
        {{ kpi_columns | join(', ') }},
        sum(new_deals_count) as deals_count,
        sum(deals_count) as deal_days_count
    from {{ model }}
    group by date_trunc('month', date), {{ kpi_columns | join(', ') }}

)

select
    month,
    {{ kpi_columns | join(', ') }},
    daily_sums.deals_count as summed_deals_count,
    daily_sums.deal_days_count as summed_deal_days_count,
    months.deals_count,
    months.deal_days_count
from daily_sums
full outer join {{ monthly }} as months
    using (month, {{ kpi_columns | join(', ') }})
where
    daily_sums.deals_count is distinct from months.deals_count
    or daily_sums.deal_days_count is distinct from months.deal_days_count

{% endtest %}
