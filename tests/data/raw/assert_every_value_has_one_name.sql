-- A row here means a stage, or an option of a field, that is listed with several names: its deals
-- are counted under the first of them in the alphabet. Load stages and fields again; if Pipedrive
-- shows both names, remove one there.
{{ config(severity='warn') }}

with

option_lists as (

    select
        cast(nullif(trim(cast(field_value_options as text)), '') as jsonb) as option_list,
        lower(trim(field_key)) as field
    from {{ source('pipedrive_raw', 'fields') }}
    where lower(trim(field_key)) in ('lost_reason', 'stage_id')

),

named_values as (

    select
        'stages' as listed_in,
        cast(stage_id as text) as field_value,
        lower(trim(stage_name)) as label
    from {{ source('pipedrive_raw', 'stages') }}
    union all
    select
        'fields, ' || option_lists.field as listed_in,
        trim(listed.field_option ->> 'id') as field_value,
        lower(trim(listed.field_option ->> 'label')) as label
    from option_lists
    cross join lateral jsonb_array_elements(
        case when jsonb_typeof(option_lists.option_list) = 'array' then option_lists.option_list end
    ) as listed (field_option)

)

select
    listed_in,
    field_value,
    count(distinct label) as label_count
from named_values
where field_value is not null
group by listed_in, field_value
having count(distinct label) > 1
