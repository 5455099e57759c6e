-- A row here means a month that monthly_stats reports and that no daily table holds any more: built
-- again, the report would lose it. Count it again: `funnel backfill --from DATE --to DATE`; if it
-- is to go, delete it from monthly_stats as well.
{%- set reported = none %}
{%- if execute %}
    {%- set node = graph.nodes['model.funnel.monthly_stats'] %}
    {#- As the last run left it: a `ref` would make this test come after the new one. #}
    {%- set reported = adapter.get_relation(node.database, node.schema, node.alias) %}
{%- endif %}

with

built_months as (

    select date_trunc('month', date) as month
    from {{ ref('daily_activity_stats') }}
    union
    select date_trunc('month', date) as month
    from {{ ref('daily_deal_stats') }}

),

reported_months as (

    select distinct month
    from {{ reported or '(select cast(null as date) as month limit 0) as not_built' }}

)

select reported_months.month as lost_month
from reported_months
left join built_months
    on reported_months.month = built_months.month
where built_months.month is null
