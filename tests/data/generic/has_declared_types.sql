{#- Columns of a raw table that are missing, or of another kind than its `data_type`. -#}
{% test has_declared_types(model) %}

{%- set found, declared = {}, {} %}
{%- if execute %}
    {%- do found.update(found_types(model)) %}
    {%- set table = graph.sources.values()
        | selectattr('relation_name', 'equalto', model | string) | first %}
    {%- do declared.update(table.columns) %}
{%- endif %}
{%- for column in declared.values()
    if found.get(column.name) not in stored_types(column.data_type)
    and not (column.name not in found and column.meta.get('is_optional')) %}
select
    '{{ column.name }}' as column_name,
    '{{ column.data_type }}' as needed_type,
    {{ "'" ~ found[column.name] ~ "'" if column.name in found else 'null' }} as found_type
union all
{%- endfor %}
select null as column_name, null as needed_type, null as found_type
where false

{% endtest %}
