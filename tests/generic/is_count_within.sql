{% test is_count_within(model, column_name, other_column) %}

select *
from {{ model }}
where {{ column_name }} < 0 or {{ column_name }} > {{ other_column }}

{% endtest %}
