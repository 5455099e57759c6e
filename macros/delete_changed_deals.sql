{%- macro delete_changed_deals() -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where deal_id in (select deal_id from {{ ref('changed_deals') }})
    {%- endif -%}
{%- endmacro -%}
