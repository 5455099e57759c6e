-- A row here means a pipeline that the var pipelines or seeds/funnel_steps.csv names and the
-- account has not: none of its deals is counted. Write it as Pipedrive does, or by its number.
with

named as (

    {% for pipeline in checked_var('pipelines') -%}
        select '{{ dbt.escape_single_quotes(pipeline | trim | lower) }}' as pipeline
        union all
    {% endfor -%}
    select lower(trim(pipeline)) as pipeline
    from {{ ref('funnel_steps') }}
    where trim(pipeline) <> ''

)

select named.pipeline
from named
left join {{ ref('pipeline_stages') }} as pipeline_stages
    on
        named.pipeline = lower(pipeline_stages.pipeline_name)
        or named.pipeline = cast(pipeline_stages.pipeline_id as {{ dbt.type_string() }})
where pipeline_stages.stage_id is null
