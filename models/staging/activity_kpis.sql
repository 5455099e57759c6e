with

activity_types as (

    select * from {{ source('pipedrive_raw', 'activity_types') }}

),

funnel_steps as (

    select * from {{ ref('funnel_steps') }}
    where source_type = 'activity'

),

-- A key listed twice, as after a type was deleted and made again, goes by its latest name.
ranked_types as (

    select
        lower(trim(type)) as activity_type,
        nullif(trim(name), '') as label,
        row_number() over (partition by lower(trim(type)) order by id desc) as type_rank
    from activity_types
    where trim(type) <> ''

),

named_types as (

    select
        activity_type,
        label
    from ranked_types
    where type_rank = 1

),

activity_types_to_count as (

    select activity_type from named_types
    union
    select lower(trim(source_name)) as activity_type from funnel_steps
    union
    -- Null stands for every type that no other row describes.
    select null as activity_type

),

kpis as (

    select
        activity_types_to_count.activity_type,
        funnel_steps.funnel_step,
        coalesce(
            funnel_steps.kpi_name,
            {{ short_name('named_types.label') }},
            'Unknown'
        ) as kpi_name
    from activity_types_to_count
    left join named_types
        on activity_types_to_count.activity_type = named_types.activity_type
    left join funnel_steps
        on activity_types_to_count.activity_type = lower(trim(funnel_steps.source_name))

)

select
    activity_type,
    kpi_name,
    -- A type outside the funnel that bears the name of a step's KPI is counted in that step.
    max(funnel_step) over (partition by kpi_name) as funnel_step,
    dense_rank() over (order by kpi_name) as kpi_number
from kpis
