-- A row here is a column that has been given another type by hand. Build it again:
-- `funnel run --select monthly_stats`.
{%- set models = [
    ref('monthly_stats'),
] %}
{{ test_has_declared_types(models, exactly=true) }}
