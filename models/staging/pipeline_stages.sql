{%- set raw_stages = source('pipedrive_raw', 'stages') %}
{%- set raw_pipelines = source('pipedrive_raw', 'pipelines') %}
{%- set counted = [] %}
{%- for name in checked_var('pipelines') %}
    {%- do counted.append("'" ~ dbt.escape_single_quotes(name | trim | lower) ~ "'") %}
{%- endfor %}

with

-- Of two names for one stage the first in the alphabet.
stages as (

    select
        cast(stage_id as bigint) as stage_id,
        min(nullif(trim(stage_name), '')) as stage_name,
        {% if has_column(raw_stages, 'pipeline_id') -%}
            cast(max(pipeline_id) as bigint) as pipeline_id
        {%- else -%}
            cast(null as bigint) as pipeline_id
        {%- endif %}
    from {{ raw_stages }}
    where stage_id is not null
    group by stage_id

),

pipelines as (

    {% if has_column(raw_pipelines, 'name') -%}
        select
            pipeline_id,
            min(nullif(trim(name), '')) as pipeline_name
        from {{ raw_pipelines }}
        group by pipeline_id
    {%- else -%}
        select
            cast(null as bigint) as pipeline_id,
            cast(null as {{ dbt.type_string() }}) as pipeline_name
    {%- endif %}

),

named_stages as (

    select
        stages.stage_id,
        stages.stage_name,
        stages.pipeline_id,
        coalesce(
            pipelines.pipeline_name,
            'Pipeline ' || cast(stages.pipeline_id as {{ dbt.type_string() }})
        ) as pipeline_name
    from stages
    left join pipelines
        on stages.pipeline_id = pipelines.pipeline_id

)

select
    stage_id,
    stage_name,
    pipeline_id,
    pipeline_name,
    {% if counted -%}
        coalesce(
            lower(pipeline_name) in ({{ counted | join(', ') }})
            or cast(pipeline_id as {{ dbt.type_string() }}) in ({{ counted | join(', ') }}),
            false
        ) as is_counted
    {%- else -%}
        true as is_counted
    {%- endif %}
from named_stages
