{%- set number = '[+-]?([0-9]{1,12}([.][0-9]{0,15})?|[.][0-9]{1,15})(e[+-]?0?[0-9])?' %}

with

changes as (

    select
        deal_id,
        change_time,
        lower(trim(new_value)) as field_value
    from {{ ref('deal_staging') }}
    where
        field = 'value'
        and deal_id is not null
        and {{ is_known('change_time') }}
        and {{ is_deal_of_window() }}

)

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
    change_time as recorded_at,
    lead(change_time) over life as replaced_at
from changes
window life as (
    partition by deal_id
    order by change_time, {{ in_byte_order('field_value') }} nulls first
)
