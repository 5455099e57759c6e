{#- Whether events go on coming, and whether those that were counted before are still there. The
    counts of the last run are read as they stand: a `ref` would make the test come after them. -#}
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

counted_months as (

    select
        cast(date_trunc('month', date) as date) as month,
        sum(deals_count) as events
    from {{ counted }}
    where {{ in_test_scope('date', is_date=true) }}
    group by date_trunc('month', date)

),

months as (

    select
        cast(date_trunc('month', date) as date) as month,
        count(*) as events
    from {{ model }}
    where
        {{ is_counted }}
        and deal_id is not null
        and {{ in_test_scope(time_column) }}
    group by date_trunc('month', date)

)
{%- endif %}

select
    cast('{{ begin }}' as date) as first_day,
    'fewer than in the 28 days before' as finding,
    events,
    events_before
from last_weeks
where
    events_before >= {{ var('min_volume') }}
    and events < {{ var('min_volume_ratio') }} * events_before
{%- if counted %}
union all
select
    counted_months.month,
    'fewer than counted before',
    coalesce(months.events, 0),
    counted_months.events
from counted_months
left join months
    on counted_months.month = months.month
where
    counted_months.events >= {{ var('min_volume') }}
    and coalesce(months.events, 0) < {{ var('min_kept_ratio') }} * counted_months.events
{%- endif %}

{% endtest %}
