{#- Events that no longer come, and steps whose events were counted before and are gone. The counts
    of the last run are read as they stand: a `ref` would make the test come after them. -#}
{% test keeps_its_volume(model, time_column, counted_in, is_counted) %}

{%- set last_day = last_day_to_process() %}
{%- set begin = last_day - modules.datetime.timedelta(days=27) %}
{%- set before = last_day - modules.datetime.timedelta(days=55) %}
{%- set until = last_day + modules.datetime.timedelta(days=1) %}
{%- set counted = none %}
{%- if execute %}
    {%- set node = graph.nodes['model.funnel.' ~ counted_in] %}
    {%- set counted = adapter.get_relation(node.database, node.schema, node.alias) %}
{%- endif %}
with

last_weeks as (

    select
        count(*) filter (where {{ time_column }} >= {{ day_start(begin) }}) as events,
        count(*) filter (where {{ time_column }} < {{ day_start(begin) }}) as events_before
    from {{ model }}
    where
        {{ time_column }} >= {{ day_start(before) }}
        and {{ time_column }} < {{ day_start(until) }}

)
{%- if counted %},

counted_steps as (

    select
        cast(date_trunc('month', date) as date) as month,
        funnel_step,
        sum(deals_count) as events
    from {{ counted }}
    where
        funnel_step is not null
        and {{ in_test_scope('date', is_date=true) }}
    group by date_trunc('month', date), funnel_step

),

steps as (

    select
        cast(date_trunc('month', date) as date) as month,
        funnel_step,
        count(*) as events
    from {{ model }}
    where
        {{ is_counted }}
        and deal_id is not null
        and funnel_step is not null
        and {{ in_test_scope(time_column) }}
    group by date_trunc('month', date), funnel_step

)
{%- endif %}

select
    cast('{{ begin }}' as date) as first_day,
    'all' as funnel_step,
    events,
    events_before
from last_weeks
where
    events_before >= {{ var('min_volume') }}
    and events < {{ var('min_volume_ratio') }} * events_before
{%- if counted %}
union all
select
    counted_steps.month,
    counted_steps.funnel_step,
    coalesce(steps.events, 0),
    counted_steps.events
from counted_steps
left join steps
    on
        counted_steps.month = steps.month
        and counted_steps.funnel_step = steps.funnel_step
where
    counted_steps.events >= {{ var('min_volume') }}
    and coalesce(steps.events, 0) < {{ var('min_kept_ratio') }} * counted_steps.events
{%- endif %}

{% endtest %}
