select
    deal_id,
    cast(row_number() over (partition by deal_id order by event_number) as integer)
        as closing_number,
    attempt_number,
    event_at as closed_at,
    owner_id,
    status as outcome,
    lead(event_at) over (partition by deal_id, attempt_number order by event_number)
        as corrected_at
from {{ ref('deal_events') }}
where
    is_closing
    and {{ is_deal_to_compute() }}
