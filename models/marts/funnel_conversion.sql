{%- set mature_by = as_of_date()
    + modules.datetime.timedelta(days=1 - checked_var('mature_after_days')) %}

with

funnel_steps as (

    select
        funnel_step,
        kpi_name,
        step_order,
        lag(funnel_step) over (order by step_order) as previous_funnel_step,
        first_value(funnel_step) over (order by step_order) as first_funnel_step
    from {{ ref('funnel_steps') }}
    group by funnel_step, kpi_name, step_order

),

deals as (

    select
        {{ local_date('created_at', 'month') }} as cohort_month,
        furthest_step_order,
        count(*) as deals_count
    from {{ ref('deal_states') }}
    group by cohort_month, furthest_step_order

),

reached as (

    select
        deals.cohort_month,
        funnel_steps.funnel_step,
        funnel_steps.kpi_name,
        funnel_steps.step_order,
        sum(deals.deals_count) as cohort,
        sum(
            case
                when deals.furthest_step_order >= funnel_steps.step_order then deals.deals_count
                else 0
            end
        ) as reached
    from deals
    cross join funnel_steps
    group by
        deals.cohort_month,
        funnel_steps.funnel_step,
        funnel_steps.kpi_name,
        funnel_steps.step_order

),

-- By the steps that the deal entered before this one.
entries as (

    select
        {{ local_date('deal_states.created_at', 'month') }} as cohort_month,
        deal_steps.funnel_step,
        deal_steps.previous_funnel_step,
        deal_steps.first_funnel_step,
        count(*) as deals_count
    from {{ ref('deal_steps') }} as deal_steps
    inner join {{ ref('deal_states') }} as deal_states
        on deal_steps.deal_id = deal_states.deal_id
    group by
        cohort_month,
        deal_steps.funnel_step,
        deal_steps.previous_funnel_step,
        deal_steps.first_funnel_step

),

entered as (

    select
        entries.cohort_month,
        entries.funnel_step,
        sum(entries.deals_count) as entered,
        sum(
            case
                when
                    funnel_steps.previous_funnel_step is null
                    or entries.previous_funnel_step = funnel_steps.previous_funnel_step
                    then entries.deals_count
                else 0
            end
        ) as entered_both,
        sum(
            case
                when entries.first_funnel_step = funnel_steps.first_funnel_step
                    then entries.deals_count
                else 0
            end
        ) as entered_with_first
    from entries
    inner join funnel_steps
        on entries.funnel_step = funnel_steps.funnel_step
    group by entries.cohort_month, entries.funnel_step

),

counts as (

    select
        reached.*,
        coalesce(entered.entered, 0) as entered,
        coalesce(entered.entered_both, 0) as entered_both,
        coalesce(entered.entered_with_first, 0) as entered_with_first
    from reached
    left join entered
        on
            reached.cohort_month = entered.cohort_month
            and reached.funnel_step = entered.funnel_step

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
    cohort_month < cast('{{ mature_by.replace(day=1) }}' as date) as is_mature
from compared
