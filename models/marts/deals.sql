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
    value,
    lives_count,
    loss_count,
    last_moved_at,
    first_entered_at,
    coalesce({{ local_date('coalesce(won_at, lost_at)') }}, cast('{{ as_of_date() }}' as date))
    - {{ local_date('created_at') }} as age_days,
    cast('{{ as_of_date() }}' as date)
    - {{ local_date('last_moved_at') }} as days_since_last_movement
from {{ ref('deal_states') }}
