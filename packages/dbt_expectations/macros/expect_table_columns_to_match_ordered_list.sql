{#- The table's columns and the list, side by side, where they differ in name or place. -#}
{% test expect_table_columns_to_match_ordered_list(model, column_list, transform='upper') %}

{%- set expected = column_list | map(transform) | list %}
{%- set found = [] %}
{%- for column in dbt_expectations._columns_of(model) %}
    {%- do found.append(column.name | trim | map(transform) | join) %}
{%- endfor %}
select
    {{ found | length }} as found_count,
    {{ expected | length }} as expected_count
where {{ 'false' if not execute or found == expected else 'true' }}

{% endtest %}
