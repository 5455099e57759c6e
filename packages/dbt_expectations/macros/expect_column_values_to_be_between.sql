{#- Rows whose value is below the one limit or above the other; a value that is missing is neither. -#}
{% test expect_column_values_to_be_between(
    model, column_name, min_value=none, max_value=none, row_condition=none, strictly=false
) %}

{%- if min_value is none and max_value is none %}
    {{ exceptions.raise_compiler_error(
        "expect_column_values_to_be_between needs min_value, max_value or both.") }}
{%- endif %}
select *
from {{ model }}
where
    {{ row_condition or 'true' }}
    and (
        {{ column_name ~ (' <= ' if strictly else ' < ') ~ min_value if min_value is not none else 'false' }}
        or {{ column_name ~ (' >= ' if strictly else ' > ') ~ max_value if max_value is not none else 'false' }}
    )

{% endtest %}
