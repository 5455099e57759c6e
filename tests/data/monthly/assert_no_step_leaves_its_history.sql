-- A row here means a step whose latest complete month is far from what its own history leads to
-- expect. Ask its owner whether sales did change; if not, look for a stage or type that was
-- renamed, mixed up or lost. The vars anomaly_threshold and anomaly_min_months say what is judged.
{{ config(severity='warn') }}
{%- set one_day = modules.datetime.timedelta(days=1) %}
{%- set latest_month = (last_day_to_process() + one_day).replace(day=1) - one_day %}
{%- set latest_month = latest_month.replace(day=1) %}

with

months as (

    select
        month,
        funnel_step,
        deals_count
    from {{ ref('monthly_activity_stats') }}
    union all
    select
        month,
        funnel_step,
        deals_count
    from {{ ref('monthly_deal_stats') }}

),

-- Counts spread the more the higher they are; their square roots spread evenly, by at least a half.
steps as (

    select
        month,
        funnel_step,
        sum(deals_count) as deals_count,
        sqrt(sum(deals_count)) as root
    from months
    where
        funnel_step is not null
        and month <= cast('{{ latest_month }}' as date)
    group by month, funnel_step

),

medians as (

    select
        funnel_step,
        count(*) as month_count,
        percentile_cont(0.5) within group (order by root) as median_root
    from steps
    where month < cast('{{ latest_month }}' as date)
    group by funnel_step

),

spreads as (

    select
        medians.funnel_step,
        medians.median_root,
        greatest(
            1.4826 * percentile_cont(0.5) within group (
                order by abs(steps.root - medians.median_root)
            ),
            0.5
        ) as spread
    from medians
    inner join steps
        on medians.funnel_step = steps.funnel_step
    where
        steps.month < cast('{{ latest_month }}' as date)
        and medians.month_count >= {{ checked_var('anomaly_min_months') }}
    group by medians.funnel_step, medians.median_root

)

select
    steps.month,
    steps.funnel_step,
    {{ step_owner('steps.funnel_step') }} as owner,
    steps.deals_count,
    round(power(spreads.median_root, 2)) as expected_deals_count,
    round(cast((steps.root - spreads.median_root) / spreads.spread as numeric), 1) as score
from steps
inner join spreads
    on steps.funnel_step = spreads.funnel_step
where
    steps.month = cast('{{ latest_month }}' as date)
    and abs(steps.root - spreads.median_root) / spreads.spread
    > {{ checked_var('anomaly_threshold') }}
