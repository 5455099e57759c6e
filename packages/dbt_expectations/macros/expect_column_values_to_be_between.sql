{#- Values outside the range; its ends belong to it unless `strictly`. Nulls are not judged. -#}
{% test expect_column_values_to_be_between(
    model, column_name, min_value=none, max_value=none, row_condition=none, strictly=false
) %}

{%- set within = [] %}
{%- if min_value is not none %}
    {%- do within.append(column_name ~ (' > ' if strictly else ' >= ') ~ min_value) %}
{%- endif %}
{%- if max_value is not none %}
    {%- do within.append(column_name ~ (' < ' if strictly else ' <= ') ~ max_value) %}
{%- endif %}
select {{ column_name }}
from {{ model }}
where
    not ({{ within | join(' and ') or 'true' }})
    {%- if row_condition %}
    and {{ row_condition }}
    {%- endif %}

{% endtest %}
