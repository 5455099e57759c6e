{#- Columns of a raw table that are missing, or of another kind than its `data_type`. -#}
{% test has_declared_types(model) %}

{%- set kinds = {
    'bigint': ['bigint', 'integer', 'smallint'],
    'text': ['text', 'character varying'],
    'jsonb': ['jsonb', 'json', 'text', 'character varying'],
    'timestamp': ['timestamp without time zone'],
} %}
{%- set columns = [] %}
{%- if execute %}
    {%- set table = graph.sources.values()
        | selectattr('relation_name', 'equalto', model | string) | first %}
    {%- do columns.extend(table.columns.values()) %}
{%- endif %}
with

declared_columns (column_name, data_type, accepted_types, is_optional) as (

    values
    {%- for column in columns %}
    (
        '{{ column.name }}',
        '{{ column.data_type }}',
        array['{{ kinds.get(column.data_type, [column.data_type]) | join("', '") }}'],
        {{ column.meta.get('is_optional', false) }}
    ){{ ',' if not loop.last }}
    {%- else %}
    ('', '', array[''], false)
    {%- endfor %}

)

select
    declared_columns.column_name,
    declared_columns.data_type as needed_type,
    format_type(found_columns.atttypid, null) as found_type
from declared_columns
left join pg_catalog.pg_attribute as found_columns
    on
        found_columns.attrelid = to_regclass('{{ model }}')
        and declared_columns.column_name = found_columns.attname
        and not found_columns.attisdropped
where
    coalesce(
        format_type(found_columns.atttypid, null) <> all(declared_columns.accepted_types),
        not declared_columns.is_optional
    )

{% endtest %}
