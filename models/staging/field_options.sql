with

fields as (

    select * from {{ source('pipedrive_raw', 'fields') }}

),

option_lists as (

    select
        cast(nullif(trim(cast(field_value_options as text)), '') as jsonb) as option_list,
        lower(trim(field_key)) as field
    from fields
    where lower(trim(field_key)) in ('lost_reason', 'stage_id')

),

options as (

    select
        option_lists.field,
        trim(listed.field_option ->> 'id') as field_value,
        nullif(trim(listed.field_option ->> 'label'), '') as label
    from option_lists
    cross join lateral jsonb_array_elements(
        case when jsonb_typeof(option_lists.option_list) = 'array' then option_lists.option_list end
    ) as listed (field_option)

)

select
    field,
    field_value,
    min(label) as label
from options
where field_value is not null and label is not null
group by field, field_value
