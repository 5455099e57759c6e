with

stays as (

    select
        {{ local_date('exited_at', 'month') }} as month,
        kpi_name,
        funnel_step,
        step_order,
        days_in_stage as days_taken
    from {{ ref('deal_stage_visits') }}
    where exited_at is not null and funnel_step is not null
    union all
    select
        {{ local_date('won_at', 'month') }} as month,
        'Whole funnel' as kpi_name,
        null as funnel_step,
        0 as step_order,
        round({{ seconds_between('created_at', 'won_at') }} / 86400, 4) as days_taken
    from {{ ref('deal_states') }}
    where won_at is not null

),

velocities as (

    select
        month,
        kpi_name,
        funnel_step,
        step_order,
        percentile_cont(0.5) within group (order by days_taken) as median_days,
        percentile_cont(0.75) within group (order by days_taken) as p75_days,
        percentile_cont(0.9) within group (order by days_taken) as p90_days,
        count(*) as visits_ended_count
    from stays
    group by month, kpi_name, funnel_step, step_order

)

-- Rounded twice: a float just below 0.00005 is not rounded down on one database and up on another.
select
    month,
    kpi_name,
    funnel_step,
    step_order,
    visits_ended_count,
    cast(round(cast(median_days as numeric(18, 8)), 4) as numeric(18, 4)) as median_days,
    cast(round(cast(p75_days as numeric(18, 8)), 4) as numeric(18, 4)) as p75_days,
    cast(round(cast(p90_days as numeric(18, 8)), 4) as numeric(18, 4)) as p90_days
from velocities
