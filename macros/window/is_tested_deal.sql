{%- macro is_tested_deal() -%}
    {#- As in changed_deals: beyond a year it is quicker to read all. -#}
    {%- if checked_var('full_check') or window_months(first_build=false) | length > 12 -%}
        true
    {%- else -%}
        deal_id = any(array(
            select deal_id from {{ ref('deal_states') }}
            where event_months && array[{{ list_months(first_build=false) }}]
        ))
    {%- endif -%}
{%- endmacro -%}
