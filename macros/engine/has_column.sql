{%- macro has_column(table, column) -%}
    {%- set relation = load_relation(table) if execute -%}
    {%- set columns = adapter.get_columns_in_relation(relation) if relation else [] -%}
    {{ return(column in columns | map(attribute='name') | map('lower') | list) }}
{%- endmacro -%}
