-- A row here means a step to which stages of several pipelines lead by their name alone: their
-- deals are counted together. Name the pipelines in seeds/funnel_steps.csv, a line for each that
-- belongs to the step, or leave pipelines out by the var pipelines.
{{ config(severity='warn') }}

select
    funnel_steps.funnel_step,
    count(distinct pipeline_stages.pipeline_id) as pipeline_count,
    min(pipeline_stages.pipeline_name) as a_pipeline,
    max(pipeline_stages.pipeline_name) as another
from {{ ref('funnel_steps') }} as funnel_steps
inner join {{ ref('pipeline_stages') }} as pipeline_stages
    on lower(trim(funnel_steps.source_name)) = lower(pipeline_stages.stage_name)
inner join {{ ref('deal_kpis') }} as deal_kpis
    on
        deal_kpis.field = 'stage_id'
        and cast(pipeline_stages.stage_id as {{ dbt.type_string() }}) = deal_kpis.field_value
        and funnel_steps.funnel_step = deal_kpis.funnel_step
where
    funnel_steps.source_type = 'stage'
    and coalesce(trim(funnel_steps.pipeline), '') = ''
    and pipeline_stages.is_counted
group by funnel_steps.funnel_step
having count(distinct pipeline_stages.pipeline_id) > 1
