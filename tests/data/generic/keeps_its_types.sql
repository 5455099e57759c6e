{#- Columns that are not of their declared `data_type`, by dbt_expectations. -#}
{% test keeps_its_types(model, columns) %}

{%- set declared = {} %}
{%- if execute %}
    {%- set node = graph.nodes.values()
        | selectattr('relation_name', 'equalto', model | string) | first %}
    {%- do declared.update(node.columns) %}
{%- endif %}
{%- for column in columns %}
    {%- set data_type = stored_types(declared.get(column, {}).get('data_type', ''))[0] %}
{{ 'union all' if not loop.first }}
select *
from (
{{ dbt_expectations.test_expect_column_values_to_be_of_type(model, column, data_type) }}
) as column_{{ loop.index }}
{%- endfor %}

{% endtest %}
