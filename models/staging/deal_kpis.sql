with

pipeline_stages as (

    select * from {{ ref('pipeline_stages') }}

),

field_options as (

    select * from {{ ref('field_options') }}

),

funnel_steps as (

    select
        source_name,
        funnel_step,
        kpi_name,
        coalesce(lower(trim(pipeline)), '') as pipeline
    from {{ ref('funnel_steps') }}
    where source_type = 'stage'

),

-- What a value of a field is called, from the best source to the last.
labels as (

    select
        'stage_id' as field,
        cast(stage_id as {{ dbt.type_string() }}) as field_value,
        stage_name as label,
        1 as priority
    from pipeline_stages
    where stage_name is not null
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
    -- A step is a KPI also before its stage exists.
    select
        'stage_id' as field,
        lower(trim(source_name)) as field_value,
        trim(source_name) as label,
        3 as priority
    from funnel_steps
    where pipeline = ''

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

located as (

    select
        values_to_count.*,
        pipeline_stages.pipeline_id,
        lower(pipeline_stages.pipeline_name) as pipeline_name
    from values_to_count
    left join pipeline_stages
        on
            values_to_count.field = 'stage_id'
            and values_to_count.field_value
            = cast(pipeline_stages.stage_id as {{ dbt.type_string() }})

),

-- A line with the stage's number goes before one with name and pipeline, that before a name alone.
defined as (

    select
        located.field,
        located.field_value,
        located.label,
        located.pipeline_id,
        funnel_steps.kpi_name,
        row_number() over (
            partition by located.field, located.field_value
            order by
                case when located.field_value = trim(funnel_steps.source_name) then 1 else 2 end,
                funnel_steps.pipeline desc
        ) as definition_rank
    from located
    left join funnel_steps
        on
            located.field = 'stage_id'
            and (
                located.field_value = trim(funnel_steps.source_name)
                or lower(located.label) = lower(trim(funnel_steps.source_name))
            )
            and funnel_steps.pipeline in (
                '',
                located.pipeline_name,
                cast(located.pipeline_id as {{ dbt.type_string() }})
            )

),

kpis as (

    select
        field,
        field_value,
        pipeline_id,
        coalesce(kpi_name, {{ short_name('label') }}) as kpi_name
    from defined
    where definition_rank = 1

),

-- A stage outside the funnel that bears the name of a step's KPI is counted in that step.
steps_of_kpis as (

    select
        kpi_name,
        max(funnel_step) as funnel_step
    from funnel_steps
    group by kpi_name

)

select
    kpis.field,
    kpis.field_value,
    kpis.pipeline_id,
    kpis.kpi_name,
    steps_of_kpis.funnel_step,
    dense_rank() over (order by kpis.field, kpis.kpi_name) as kpi_number
from kpis
left join steps_of_kpis
    on
        kpis.field = 'stage_id'
        and kpis.kpi_name = steps_of_kpis.kpi_name
