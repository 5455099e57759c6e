with

-- Several stages may lead to one step.
funnel_steps as (

    select distinct
        funnel_step,
        kpi_name,
        step_order
    from {{ ref('funnel_steps') }}

),

pipelines as (

    select distinct
        pipeline_id,
        pipeline_name
    from {{ ref('pipeline_stages') }}
    where
        pipeline_id is not null
        and is_counted

),

activities as (

    select
        deal_id,
        funnel_step,
        due_to
    from {{ ref('activity_staging') }}
    where
        is_done
        and funnel_step is not null
        and deal_id is not null
        and {{ in_window('due_to') }}
        and exists (select 1 from pipelines)

),

deal_pipelines as (

    select * from {{ ref('deal_pipelines') }}
    where {{ is_among('deal_id', 'select activities.deal_id from activities') }}

),

-- An activity belongs to the pipeline in which its deal is at that moment.
events as (

    select
        {{ local_date('change_time', 'month') }} as month,
        pipeline_id,
        funnel_step,
        deal_id
    from {{ ref('deal_staging') }}
    where
        field = 'stage_id'
        and funnel_step is not null
        and pipeline_id is not null
        and deal_id is not null
        and {{ in_window('change_time') }}
    union all
    select
        {{ local_date('activities.due_to', 'month') }} as month,
        deal_pipelines.pipeline_id,
        activities.funnel_step,
        activities.deal_id
    from activities
    inner join deal_pipelines
        on
            activities.deal_id = deal_pipelines.deal_id
            and activities.due_to >= deal_pipelines.entered_at
            and (
                activities.due_to < deal_pipelines.left_at
                or deal_pipelines.left_at is null
            )

),

counts as (

    select
        month,
        pipeline_id,
        funnel_step,
        count(distinct deal_id) as deals_count
    from events
    group by month, pipeline_id, funnel_step

),

months as (

    {% for month in window_months() -%}
        select cast('{{ month }}' as date) as month
        {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    months.month,
    pipelines.pipeline_id,
    pipelines.pipeline_name,
    funnel_steps.kpi_name,
    funnel_steps.funnel_step,
    funnel_steps.step_order,
    coalesce(counts.deals_count, 0) as deals_count
from months
cross join pipelines
cross join funnel_steps
left join counts
    on
        months.month = counts.month
        and pipelines.pipeline_id = counts.pipeline_id
        and funnel_steps.funnel_step = counts.funnel_step
