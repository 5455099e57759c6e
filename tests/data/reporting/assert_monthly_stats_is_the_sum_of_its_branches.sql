-- A row here means a step whose month in monthly_stats differs from the monthly tables it is made
-- of. Build monthly_stats again: `funnel run --select monthly_stats`.
with

branches as (

    select
        month,
        funnel_step,
        deals_count,
        deal_days_count
    from {{ ref('monthly_activity_stats') }}
    union all
    select
        month,
        funnel_step,
        deals_count,
        deal_days_count
    from {{ ref('monthly_deal_stats') }}

),

steps as (

    select
        month,
        funnel_step,
        sum(deals_count) as deals_count,
        sum(deal_days_count) as deal_days_count
    from branches
    where funnel_step is not null
    group by month, funnel_step

)

select
    steps.month,
    steps.funnel_step,
    steps.deals_count,
    monthly_stats.deals_count as reported_deals_count
from steps
left join {{ ref('monthly_stats') }} as monthly_stats
    on
        steps.month = monthly_stats.month
        and steps.funnel_step = monthly_stats.funnel_step
where
    steps.deals_count is distinct from monthly_stats.deals_count
    or steps.deal_days_count is distinct from monthly_stats.deal_days_count
