{#- Events that no longer come, steps whose events were counted before and are gone, and rows that the
    view lost or doubled: by day and step, so that the view is read once. The counts of the last run
    are read as they stand: a `ref` would make the test come after them. -#}
{% test keeps_its_volume(model, made_of, time_column, counted_in, is_counted) %}

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

days as (

    select
        date,
        case when {{ is_counted }} and deal_id is not null then funnel_step end as funnel_step,
        {{ in_test_scope(time_column) }} as is_in_scope,
        count(*) as events
    from {{ model }}
    where
        {{ in_test_scope(time_column) }}
        or ({{ time_column }} >= {{ day_start(before) }} and {{ time_column }} < {{ day_start(until) }})
    group by 1, 2, 3

),

last_weeks as (

    select
        coalesce(sum(case when date >= date '{{ begin }}' then events end), 0) as events,
        coalesce(sum(case when date < date '{{ begin }}' then events end), 0) as events_before
    from days
    where date between date '{{ before }}' and date '{{ last_day }}'

),

rows_in_scope as (

    select
        coalesce(sum(case when days.is_in_scope then days.events end), 0) as events,
        (
            select count(*) from {{ made_of }}
            where {{ in_test_scope(time_column) }}
        ) as raw_events
    from days

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
        sum(events) as events
    from days
    where is_in_scope
    group by date_trunc('month', date), funnel_step

)
{%- endif %}

select
    'events no longer come' as finding,
    cast('{{ begin }}' as date) as first_day,
    cast(null as {{ dbt.type_string() }}) as funnel_step,
    events,
    events_before as events_expected
from last_weeks
where
    events_before >= {{ checked_var('min_volume') }}
    and events < {{ checked_var('min_volume_ratio') }} * events_before
union all
select
    'not the rows of the raw table' as finding,
    null as first_day,
    null as funnel_step,
    events,
    raw_events as events_expected
from rows_in_scope
where events <> raw_events
{%- if counted %}
union all
select
    'a step lost events' as finding,
    counted_steps.month as first_day,
    counted_steps.funnel_step,
    coalesce(steps.events, 0) as events,
    counted_steps.events as events_expected
from counted_steps
left join steps
    on
        counted_steps.month = steps.month
        and counted_steps.funnel_step = steps.funnel_step
where
    counted_steps.events >= {{ checked_var('min_volume') }}
    and coalesce(steps.events, 0) < {{ checked_var('min_kept_ratio') }} * counted_steps.events
{%- endif %}

{% endtest %}
