{#- Combinations of the columns that occur more than once. How rows with nulls are judged follows
    `ignore_row_if`; nulls are equal to each other. -#}
{% test expect_compound_columns_to_be_unique(
    model, column_list, quote_columns=false, ignore_row_if='all_values_are_missing',
    row_condition=none
) %}

{%- set columns = column_list | map('string') | list %}
{%- if quote_columns %}
    {%- set columns = columns | map('tojson') | list %}
{%- endif %}
{%- set missing = ' or ' if ignore_row_if == 'any_value_is_missing' else ' and ' %}
select
    {{ columns | join(', ') }},
    count(*) as row_count
from {{ model }}
where
    {{ row_condition or 'true' }}
    and not ({{ columns | join(' is null' ~ missing) }} is null)
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
