-- A row here means a stage that the table stages calls otherwise than the options of the field
-- stage_id do: one of the two is older, or ids were mixed up. Load both again, and see which name
-- Pipedrive shows; the funnel goes by stages.
{{ config(severity='warn') }}

select
    raw_stages.stage_id,
    raw_stages.stage_name,
    field_options.label as field_option
from {{ source('pipedrive_raw', 'stages') }} as raw_stages
inner join {{ ref('field_options') }} as field_options
    on
        field_options.field = 'stage_id'
        and cast(raw_stages.stage_id as {{ dbt.type_string() }}) = field_options.field_value
where lower(trim(raw_stages.stage_name)) <> lower(field_options.label)
