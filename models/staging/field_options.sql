with

fields as (

    select
        field_value_options,
        lower(trim(field_key)) as field
    from {{ source('pipedrive_raw', 'fields') }}
    where lower(trim(field_key)) in ('lost_reason', 'stage_id')

),

options as (

    {{ read_options('fields') }}

),

named_options as (

    select
        field,
        {{ read_id('option_id') }} as field_value,
        nullif(trim(option_label), '') as label
    from options

)

select
    field,
    field_value,
    min(label) as label
from named_options
where field_value is not null and label is not null
group by field, field_value
