select
    {{ local_date('lost_at', 'month') }} as month,
    coalesce(current_kpi_name, 'No stage') as kpi_name,
    current_funnel_step as funnel_step,
    current_step_order as step_order,
    lost_reason,
    count(*) as deals_count
from {{ ref('deal_states') }}
where lost_at is not null
group by 1, 2, 3, 4, 5
