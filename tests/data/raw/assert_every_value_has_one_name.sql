-- A row here means a stage, or an option of a field, that is listed with several names: its deals
-- are counted under the first of them in the alphabet. Load stages and fields again; if Pipedrive
-- shows both names, remove one there.
{{ config(severity='warn') }}

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

named_values as (

    select
        'stages' as listed_in,
        cast(stage_id as {{ dbt.type_string() }}) as field_value,
        lower(trim(stage_name)) as label
    from {{ source('pipedrive_raw', 'stages') }}
    union all
    select
        'fields, ' || field as listed_in,
        {{ read_id('option_id') }} as field_value,
        lower(trim(option_label)) as label
    from options

)

select
    listed_in,
    field_value,
    count(distinct label) as label_count
from named_values
where field_value is not null
group by listed_in, field_value
having count(distinct label) > 1
