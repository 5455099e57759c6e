{%- macro is_deal_of_window(first_build=none) -%}
    {%- set deals -%}
        select deal_id from {{ ref('deal_months') }} where {{ is_month_of_deals() }}
    {%- endset -%}
    {%- set months = window_months(first_build=false) | length
        + (as_of_date() - known_through()).days // 30 -%}
    {%- if first_build or (first_build is none and not is_incremental()) or months > 12 -%}
        {#- Beyond a year it is quicker to compute all deals than to look for those of the window. -#}
        true
    {%- else -%}
        {{ is_among('deal_id', deals) }}
    {%- endif -%}
{%- endmacro -%}
