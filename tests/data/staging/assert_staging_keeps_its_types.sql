-- A row here is a column that has not the type that the models read. See what the raw table holds,
-- and build the view again with `funnel run`; drop the table lost_reasons first, if it is that.
{%- set models = [
    ref('activity_kpis'),
    ref('activity_staging'),
    ref('deal_kpis'),
    ref('deal_pipelines'),
    ref('deal_staging'),
    ref('field_options'),
    ref('lost_reasons'),
    ref('pipeline_stages'),
] %}
{{ test_has_declared_types(models, exactly=true) }}
