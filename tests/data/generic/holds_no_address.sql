{#- Values that look like an e-mail address; only where it stands is said, not what it is. -#}
{% test holds_no_address(model, column_name) %}

select
    '{{ column_name }}' as found_in,
    count(*) as row_count
from {{ model }}
where {{ matches(column_name, '.*[^@ ]@[^@ ]+[.][^@ ].*') }}
having count(*) > 0

{% endtest %}
