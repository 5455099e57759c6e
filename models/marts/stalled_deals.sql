with

open_deals as (

    select
        *,
        {{ dbt.datediff(
            local_date('last_moved_at'), "cast('" ~ as_of_date() ~ "' as date)", 'day')
        }} as days_since_last_movement
    from {{ ref('deal_states') }}
    where status = 'open' and current_kpi_name is not null

),

limits as (

    select
        kpi_name,
        {% if checked_var('stalled_after_days') is none -%}
            cast(percentile_cont(0.9) within group (order by days_in_stage) as numeric(18, 4))
        {%- else -%}
            cast({{ checked_var('stalled_after_days') }} as numeric(18, 4))
        {%- endif %} as stalled_after_days
    from {{ ref('deal_stage_visits') }}
    group by kpi_name

)

select
    open_deals.deal_id,
    open_deals.owner_id,
    open_deals.current_kpi_name as kpi_name,
    open_deals.current_funnel_step as funnel_step,
    open_deals.current_step_order as step_order,
    open_deals.last_moved_at,
    open_deals.days_since_last_movement,
    limits.stalled_after_days
from open_deals
inner join limits
    on open_deals.current_kpi_name = limits.kpi_name
where open_deals.days_since_last_movement > limits.stalled_after_days
