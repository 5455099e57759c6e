-- A row here is a column that has been given another type by hand. Build the tables again:
-- `dbt build --full-refresh --select deal_months+`.
{%- set models = [
    ref('deal_closings'),
    ref('deal_events'),
    ref('deal_first_statuses'),
    ref('deal_months'),
    ref('deal_stage_visits'),
    ref('deal_states'),
    ref('deal_steps'),
    ref('deal_values'),
] %}
{{ test_has_declared_types(models, exactly=true) }}
