{%- macro tested_deals() -%}
    select deal_id from {{ ref('deal_states') }}
    {%- if not boolean_var('full_check') %}
    where event_months && array[{{ list_months(first_build=false) }}]
    {%- endif %}
{%- endmacro -%}
