-- A row here is a column that has been given another type by hand. Build the model again:
-- `funnel run`.
{%- set models = [
    ref('monthly_activity_stats'),
    ref('monthly_deal_stats'),
] %}
{{ test_has_declared_types(models, exactly=true) }}
