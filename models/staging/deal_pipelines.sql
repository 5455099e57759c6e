with

pipeline_stages as (

    select
        cast(stage_id as {{ dbt.type_string() }}) as field_value,
        pipeline_id,
        is_counted
    from {{ ref('pipeline_stages') }}
    where pipeline_id is not null

),

stage_changes as (

    select
        cast(deal_id as bigint) as deal_id,
        change_time,
        {{ read_id('new_value') }} as field_value
    from {{ source('pipedrive_raw', 'deal_changes') }}
    where
        lower(trim(changed_field_key)) = 'stage_id'
        and deal_id is not null
        and change_time is not null

),

-- Of several at one moment one that counts, and of these the one with the highest number.
moments as (

    select
        stage_changes.deal_id,
        stage_changes.change_time,
        coalesce(
            max(case when pipeline_stages.is_counted then pipeline_stages.pipeline_id end),
            max(pipeline_stages.pipeline_id)
        ) as pipeline_id
    from stage_changes
    inner join pipeline_stages
        on stage_changes.field_value = pipeline_stages.field_value
    group by stage_changes.deal_id, stage_changes.change_time

)

select
    deal_id,
    pipeline_id,
    change_time as entered_at,
    lead(change_time) over (partition by deal_id order by change_time) as left_at,
    pipeline_id in (
        select pipeline_stages.pipeline_id from pipeline_stages
        where pipeline_stages.is_counted
    ) as is_counted
from moments
