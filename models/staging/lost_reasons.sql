with

-- When each text was given first: few, of many changes.
texts as (

    select
        new_value,
        min(change_time) as change_time
    from {{ source('pipedrive_raw', 'deal_changes') }}
    where
        lower(trim(changed_field_key)) = 'lost_reason'
        and deal_id is not null
        and change_time is not null
    group by new_value

),

typed as (

    select
        change_time,
        lower(trim(new_value)) as lost_reason,
        trim(new_value) as label
    from texts
    where
        trim(new_value) <> ''
        and length(new_value) <= 200

),

listed as (

    select
        field_value,
        lower(label) as label
    from {{ ref('field_options') }}
    where field = 'lost_reason'

),

-- What a number means is for the options to say; null and its like are the words of an export.
spellings as (

    select
        *,
        row_number() over (
            partition by lost_reason order by change_time, {{ in_byte_order('label') }}
        ) as spelling_rank
    from typed
    where
        lost_reason not in ('null', 'none', 'nan', 'other')
        and not {{ matches(read_id('label'), '[0-9]{1,18}') }}
        -- An address is nobody's business, and no reason.
        and lost_reason not like '%@%'
        and lost_reason not in (select listed.label from listed)
        and lost_reason not in (select listed.field_value from listed)

),

-- Reasons given later change nothing; older ones that are loaded late, or deleted, can.
reasons as (

    select
        lost_reason,
        label,
        row_number() over (order by change_time, {{ in_byte_order('lost_reason') }}) as reason_rank
    from spellings
    where spelling_rank = 1

)

select
    lost_reason,
    label
from reasons
where reason_rank <= 100
