with

stages as (

    select * from {{ source('pipedrive_raw', 'stages') }}

),

field_options as (

    select * from {{ ref('field_options') }}

),

funnel_steps as (

    select * from {{ ref('funnel_steps') }}
    where source_type = 'stage'

),

-- What a value of a field is called, from the best source to the last.
labels as (

    select
        'stage_id' as field,
        cast(stage_id as {{ dbt.type_string() }}) as field_value,
        trim(stage_name) as label,
        1 as priority
    from stages
    where trim(stage_name) <> ''
    union all
    select
        field,
        lower(field_value) as field_value,
        label,
        2 as priority
    from field_options
    union all
    -- Accounts without a fixed list of reasons record the reason's text itself.
    select
        field,
        lower(label) as field_value,
        label,
        3 as priority
    from field_options
    where field = 'lost_reason'
    union all
    select
        'lost_reason' as field,
        lost_reason as field_value,
        label,
        4 as priority
    from {{ ref('lost_reasons') }}
    union all
    -- Every step is a KPI, also before its stage exists.
    select
        'stage_id' as field,
        lower(trim(source_name)) as field_value,
        trim(source_name) as label,
        3 as priority
    from funnel_steps

),

ranked_labels as (

    select
        *,
        row_number() over (partition by field, field_value order by priority, label) as label_rank
    from labels

),

values_to_count as (

    select
        field,
        field_value,
        label
    from ranked_labels
    -- Not a stage without its number, an option without an id, or a step without a stage's name.
    where
        label_rank = 1
        and field_value <> ''
        and not (field = 'lost_reason' and field_value in ('null', 'none', 'nan'))
    union all
    -- Null stands for every value that no other row describes, an empty reason for every text.
    select
        field,
        field_value,
        label
    from (
        values
        ('add_time', null, 'Deal created'),
        ('user_id', null, 'User added'),
        ('stage_id', null, 'Unknown'),
        ('lost_reason', null, 'Unknown'),
        ('lost_reason', '', 'Other')
    ) as other_values (field, field_value, label)

),

kpis as (

    select
        values_to_count.field,
        values_to_count.field_value,
        funnel_steps.funnel_step,
        coalesce(funnel_steps.kpi_name, {{ short_name('values_to_count.label') }}) as kpi_name
    from values_to_count
    left join funnel_steps
        on
            values_to_count.field = 'stage_id'
            and lower(values_to_count.label) = lower(trim(funnel_steps.source_name))

)

select
    field,
    field_value,
    kpi_name,
    -- A stage outside the funnel that bears the name of a step's KPI is counted in that step.
    max(funnel_step) over (partition by field, kpi_name) as funnel_step,
    dense_rank() over (order by field, kpi_name) as kpi_number
from kpis
