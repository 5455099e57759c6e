{%- set today = "cast('" ~ as_of_date() ~ "' as date)" %}
{%- set this_month = "cast('" ~ as_of_date().replace(day=1) ~ "' as date)" %}

with

win_rates as (

    select * from {{ ref('stage_win_rates') }}
    where month = {{ this_month }}

),

-- A deal that has been in its stage for longer than the horizon is given up, not stalled.
open_deals as (

    select
        deal_states.*,
        {{ dbt.datediff(local_date('deal_states.last_moved_at'), today, 'day') }}
            as days_since_last_movement
    from {{ ref('deal_states') }} as deal_states
    left join win_rates
        on deal_states.current_kpi_name = win_rates.kpi_name
    where
        deal_states.status = 'open'
        and deal_states.current_kpi_name is not null
        and {{ dbt.datediff(
            local_date('deal_states.current_step_entered_at', 'month'), this_month, 'month') }}
        <= coalesce(
            win_rates.horizon_months,
            (select max(rates.horizon_months) from win_rates as rates),
            1000000
        )

),

-- Of days there are few, of visits many. A visit that goes on lasts so many days at least.
visits as (

    select
        kpi_name,
        exited_at,
        {{ dbt.datediff(
            local_date('entered_at'), 'coalesce(' ~ local_date('exited_at') ~ ', ' ~ today ~ ')', 'day'
        ) }} as days_taken
    from {{ ref('deal_stage_visits') }}
    where
        not is_customer
        and exited_at is distinct from entered_at

),

durations as (

    select
        kpi_name,
        days_taken,
        count(*) as visits_count,
        count(exited_at) as ended_count
    from visits
    group by kpi_name, days_taken

),

durations_of_all as (

    select
        kpi_name,
        days_taken,
        visits_count,
        ended_count
    from durations
    union all
    select
        null as kpi_name,
        days_taken,
        sum(visits_count) as visits_count,
        sum(ended_count) as ended_count
    from durations
    group by days_taken

),

at_risk as (

    select
        *,
        sum(visits_count) over (partition by kpi_name order by days_taken desc) as at_risk_count,
        sum(ended_count) over (partition by kpi_name) as all_ended_count
    from durations_of_all

),

-- The share of visits that is not over within so many days, as its logarithm (Kaplan-Meier).
survival as (

    select
        *,
        sum(
            case
                when ended_count = at_risk_count then -100
                else ln(1.0 - 1.0 * ended_count / at_risk_count)
            end
        ) over (partition by kpi_name order by days_taken) as log_share_left
    from at_risk

),

limits as (

    select
        kpi_name,
        min(days_taken) as limit_days
    from survival
    where
        log_share_left <= ln(0.1) + 0.000000001
        and all_ended_count >= {{ checked_var('min_visits') }}
    group by kpi_name

),

with_limits as (

    select
        open_deals.*,
        {% if checked_var('stalled_after_days') is none -%}
            coalesce(of_stage.limit_days, of_funnel.limit_days) as limit_days,
            case when of_stage.limit_days is null then 'funnel' else 'stage' end as limit_of
        {%- else -%}
            {{ checked_var('stalled_after_days') }} as limit_days,
            'var' as limit_of
        {%- endif %}
    from open_deals
    left join limits as of_stage
        on open_deals.current_kpi_name = of_stage.kpi_name
    left join limits as of_funnel
        on of_funnel.kpi_name is null

)

select
    deal_id,
    owner_id,
    current_kpi_name as kpi_name,
    current_funnel_step as funnel_step,
    current_step_order as step_order,
    last_moved_at,
    days_since_last_movement,
    cast(limit_days as numeric(18, 4)) as stalled_after_days,
    limit_of
from with_limits
where days_since_last_movement > limit_days
