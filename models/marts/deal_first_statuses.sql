select
    deal_id,
    min(change_time) as first_status_at
from {{ ref('deal_staging') }}
where
    deal_id is not null
    and field = 'status'
    and lower(trim(new_value)) in ('open', 'won', 'lost', 'deleted')
    and {{ is_known('change_time') }}
    and {{ is_deal_of_window() }}
group by deal_id
