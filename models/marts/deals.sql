with

deals as (

    select
        *,
        {{ local_date('created_at') }} as created_day,
        {{ local_date('last_moved_at') }} as moved_day,
        {{ local_date('coalesce(won_at, lost_at, deleted_at)') }} as closed_day,
        cast('{{ as_of_date() }}' as date) as today
    from {{ ref('deal_states') }}

)

select
    deal_id,
    created_at,
    owner_id,
    status,
    current_kpi_name,
    current_funnel_step,
    current_step_order,
    current_step_entered_at,
    furthest_kpi_name,
    furthest_funnel_step,
    furthest_step_order,
    lost_at,
    lost_reason,
    won_at,
    lost_after_won_at,
    deleted_at,
    value,
    lives_count,
    loss_count,
    last_moved_at,
    {{ dbt.datediff('created_day', 'coalesce(closed_day, today)', 'day') }}
        as age_days,
    {{ dbt.datediff('moved_day', 'today', 'day') }}
        as days_since_last_movement
from deals
