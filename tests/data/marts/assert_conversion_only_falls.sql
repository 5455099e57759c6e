-- A row here means a cohort in which more deals reached a step than the one before it, or entered
-- it than reached it, or that is not all of its deals: the states of its deals are wrong. Compute
-- them again: `dbt build --full-refresh --select deal_months+`. Tested with full_check only, as
-- it reads all deals.
with

conversion as (

    select
        *,
        lag(reached_deals_count, 1, cohort_deals_count)
            over (partition by cohort_month order by step_order) as reached_before,
        sum(cohort_deals_count) over (partition by funnel_step) as all_deals_count
    from {{ ref('funnel_conversion') }}

)

select
    cohort_month,
    funnel_step,
    reached_deals_count,
    reached_before,
    entered_deals_count
from conversion
where
    {{ checked_var('full_check') | string | lower }}
    and (
        reached_deals_count > reached_before
        or entered_deals_count > reached_deals_count
        or reached_from_previous not between 0 and 1
        or reached_from_first not between 0 and 1
        or entered_from_previous not between 0 and 1
        or entered_from_first not between 0 and 1
        or all_deals_count <> (select count(*) from {{ ref('deal_states') }})
    )
