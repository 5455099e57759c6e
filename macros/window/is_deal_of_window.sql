{%- macro is_deal_of_window(first_build=none) -%}
    {%- set months = window_months(first_build=false) -%}
    {%- set deals -%}
        select deal_id
        from {{ ref('deal_months') }}
        where month in ('{{ months | join("', '") }}') or month > '{{ as_of_date() }}'
    {%- endset -%}
    {%- if first_build or (first_build is none and not is_incremental()) or months | length > 12 -%}
        {#- Beyond a year it is quicker to compute all deals than to look for those of the window. -#}
        true
    {%- else -%}
        {{ is_among('deal_id', deals) }}
    {%- endif -%}
{%- endmacro -%}
