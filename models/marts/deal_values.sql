{%- set number = '[+-]?([0-9]{1,12}([.][0-9]{0,15})?|[.][0-9]{1,15})(e[+-]?0?[0-9])?' %}

select
    deal_id,
    cast(row_number() over life as integer) as value_number,
    cast(
        case
            when {{ matches('field_value', number) }}
                then
                    case
                        when abs(cast(field_value as numeric(38, 15))) < 1000000000000
                            then round(cast(field_value as numeric(38, 15)), 2)
                    end
        end as numeric(18, 2)
    ) as value,
    event_at as recorded_at,
    lead(event_at) over life as replaced_at
from {{ ref('deal_events') }}
where
    field = 'value'
    and {{ is_deal_of_window() }}
window life as (partition by deal_id order by event_number)
