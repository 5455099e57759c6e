{#- Columns that are missing, or of another kind than their `data_type`. -#}
{% test has_declared_types(model, exactly=false) %}

{%- for table in ([model] if model.identifier else model) if execute %}
    {%- set declared = (graph.sources.values() | list + graph.nodes.values() | list)
        | selectattr('relation_name', 'equalto', table | string) | first %}
    {%- set found = {} %}
    {%- for column in adapter.get_columns_in_relation(table) %}
        {%- do found.update({column.name | lower: column.dtype | lower}) %}
    {%- endfor %}
    {#- A model that is not there has not been built yet. -#}
    {%- for column in declared.columns.values() if found or not exactly %}
        {%- set types = stored_types(column.data_type) %}
        {%- if found.get(column.name) not in (types[:1] if exactly else types)
            and not (column.name not in found and column.meta.get('is_optional')) %}
select
    '{{ table.identifier }}' as table_name,
    '{{ column.name }}' as column_name,
    '{{ column.data_type }}' as needed_type,
    {{ "'" ~ found[column.name] ~ "'" if column.name in found else 'null' }} as found_type
union all
        {%- endif %}
    {%- endfor %}
{%- endfor %}
select null as table_name, null as column_name, null as needed_type, null as found_type
where false

{% endtest %}
