-- A row here is a column that has been given another type by hand. Give it back its own with
-- `alter table`: a run replaces rows, not columns.
{%- set models = [
    ref('daily_activity_stats'),
    ref('daily_deal_stats'),
] %}
{{ test_has_declared_types(models, exactly=true) }}
