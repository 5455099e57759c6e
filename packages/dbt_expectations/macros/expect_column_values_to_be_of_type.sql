{#- The column exists with another type: one row naming it. -#}
{% test expect_column_values_to_be_of_type(model, column_name, column_type) %}

{%- set offending = [] %}
{%- for column in dbt_expectations._columns_of(model) %}
    {%- if column.name | lower == column_name | lower
            and column.dtype | lower != column_type | lower %}
        {%- do offending.append(column) %}
    {%- endif %}
{%- endfor %}
select
    cast('{{ column_name }}' as {{ dbt.type_string() }}) as relation_column,
    cast('{{ offending[0].dtype if offending }}' as {{ dbt.type_string() }})
        as relation_column_type
where {{ 'true' if offending else 'false' }}

{% endtest %}
