{%- macro delete_touched_deals() -%}
    {%- if is_incremental() -%}
        delete from {{ this }} where deal_id in ({{ touched_deals() }})
    {%- endif -%}
{%- endmacro -%}
