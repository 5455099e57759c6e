select
    deal_id,
    cast(row_number() over life as integer) as value_number,
    cast(
        case
            when {{ matches('field_value', '-?[0-9]{1,12}([.][0-9]{1,6})?') }} then field_value
        end as numeric(18, 2)
    ) as value,
    event_at as recorded_at,
    lead(event_at) over life as replaced_at
from {{ ref('deal_events') }}
where
    field = 'value'
    and {{ is_deal_of_window() }}
window life as (partition by deal_id order by event_number)
