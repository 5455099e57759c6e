with

monthly_activity_stats as (

    select * from {{ ref('monthly_activity_stats') }}

),

monthly_deal_stats as (

    select * from {{ ref('monthly_deal_stats') }}

),

-- Several stages may lead to one step.
funnel_steps as (

    select distinct
        funnel_step,
        kpi_name,
        step_order
    from {{ ref('funnel_steps') }}

),

counts as (

    select
        month,
        funnel_step,
        deals_count,
        deal_days_count
    from monthly_activity_stats
    union all
    select
        month,
        funnel_step,
        deals_count,
        deal_days_count
    from monthly_deal_stats

),

months as (

    select distinct month from counts

),

every_month_and_step as (

    select
        months.month,
        funnel_steps.kpi_name,
        funnel_steps.funnel_step,
        cast(coalesce(sum(counts.deals_count), 0) as bigint) as deals_count,
        funnel_steps.step_order,
        cast(coalesce(sum(counts.deal_days_count), 0) as bigint) as deal_days_count
    from months
    cross join funnel_steps
    left join counts
        on
            months.month = counts.month
            and funnel_steps.funnel_step = counts.funnel_step
    group by
        months.month,
        funnel_steps.kpi_name,
        funnel_steps.funnel_step,
        funnel_steps.step_order

)

select * from every_month_and_step
order by month, step_order
