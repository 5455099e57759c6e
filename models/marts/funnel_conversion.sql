with

deals as (

    select
        {{ local_month('created_at') }} as cohort_month,
        furthest_step_order,
        entered_steps,
        count(*) as deals_count
    from {{ ref('deal_states') }}
    group by cohort_month, furthest_step_order, entered_steps

),

funnel_steps as (

    select
        funnel_step,
        kpi_name,
        step_order,
        lag(funnel_step) over (order by step_order) as previous_step,
        first_value(funnel_step) over (order by step_order) as first_step
    from {{ ref('funnel_steps') }}
    group by funnel_step, kpi_name, step_order

),

counts as (

    select
        deals.cohort_month,
        funnel_steps.kpi_name,
        funnel_steps.funnel_step,
        funnel_steps.step_order,
        sum(deals.deals_count) as cohort,
        coalesce(
            sum(deals.deals_count)
            filter (where deals.furthest_step_order >= funnel_steps.step_order), 0
        ) as reached,
        coalesce(
            sum(deals.deals_count)
            filter (where funnel_steps.funnel_step = any(deals.entered_steps)), 0
        ) as entered,
        coalesce(sum(deals.deals_count) filter (
            where
            funnel_steps.funnel_step = any(deals.entered_steps)
            and (
                funnel_steps.previous_step is null
                or funnel_steps.previous_step = any(deals.entered_steps)
            )
        ), 0) as entered_both,
        coalesce(sum(deals.deals_count) filter (
            where
            funnel_steps.funnel_step = any(deals.entered_steps)
            and funnel_steps.first_step = any(deals.entered_steps)
        ), 0) as entered_with_first
    from deals
    cross join funnel_steps
    group by
        deals.cohort_month,
        funnel_steps.kpi_name,
        funnel_steps.funnel_step,
        funnel_steps.step_order

),

-- What comes before the first step is the creation of the deal.
compared as (

    select
        *,
        lag(reached, 1, cohort) over steps as reached_previous,
        first_value(reached) over steps as reached_first,
        lag(entered, 1, cohort) over steps as entered_previous,
        first_value(entered) over steps as entered_first
    from counts
    window steps as (partition by cohort_month order by step_order)

)

select
    cohort_month,
    kpi_name,
    funnel_step,
    step_order,
    cast(cohort as bigint) as cohort_deals_count,
    cast(reached as bigint) as reached_deals_count,
    cast(entered as bigint) as entered_deals_count,
    cast(round(reached / nullif(reached_previous, 0), 4) as numeric(18, 4))
        as reached_from_previous,
    cast(round(reached / nullif(reached_first, 0), 4) as numeric(18, 4)) as reached_from_first,
    cast(round(entered_both / nullif(entered_previous, 0), 4) as numeric(18, 4))
        as entered_from_previous,
    cast(round(entered_with_first / nullif(entered_first, 0), 4) as numeric(18, 4))
        as entered_from_first,
    cohort_month + interval '1 month' + interval '{{ checked_var("mature_after_days") }} days'
    <= cast('{{ as_of_date() + modules.datetime.timedelta(days=1) }}' as date) as is_mature
from compared
