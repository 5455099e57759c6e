{%- macro tested_deals() -%}
    select deal_id from {{ ref('deal_states') }}
    {%- if not full_check() %}
    where event_months && array[{{ list_months(first_build=false) }}]
    {%- endif %}
{%- endmacro -%}
