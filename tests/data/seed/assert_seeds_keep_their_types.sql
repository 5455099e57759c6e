-- A row here is a column of a seed that has been given another type, with which a step's name such
-- as 2.1 may change. Build the seed again: `dbt seed --full-refresh`.
{%- set models = [
    ref('funnel_steps'),
    ref('goals'),
] %}
{{ test_has_declared_types(models, exactly=true) }}
