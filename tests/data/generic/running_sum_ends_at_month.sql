{#- The month-to-date sum of new_deals_count never falls, as none of its days is below 0, and ends at
    the month's deals_count, for every KPI. -#}
{% test running_sum_ends_at_month(model, monthly, kpi_columns) %}

with

running_sums as (

    select
        cast(date_trunc('month', date) as date) as month,
        {{ kpi_columns | join(', ') }},
        funnel_step,
        min(new_deals_count) < 0 as is_falling,
        sum(new_deals_count) as month_to_date,
        sum(deals_count) as deal_days_count
    from {{ model }}
    group by date_trunc('month', date), {{ kpi_columns | join(', ') }}, funnel_step

)

select
    month,
    {{ kpi_columns | join(', ') }},
    running_sums.month_to_date,
    months.deals_count,
    running_sums.is_falling
from running_sums
full outer join {{ monthly }} as months
    using (month, {{ kpi_columns | join(', ') }})
where
    running_sums.is_falling
    or running_sums.month_to_date is distinct from months.deals_count
    or running_sums.deal_days_count is distinct from months.deal_days_count
    or running_sums.funnel_step is distinct from months.funnel_step

{% endtest %}
