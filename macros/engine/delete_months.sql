{%- macro delete_months() -%}
    {%- if is_incremental() -%}
        delete from {{ this }} where month in ({{ list_months() }})
    {%- endif -%}
{%- endmacro -%}
