{%- macro forget_vanished_deals() -%}
    {%- if is_incremental() -%}
        delete from {{ this }} as states
        where
            deal_id in ({{ touched_deals() }})
            and not exists (select from {{ ref('deal_events') }} as events where events.deal_id = states.deal_id)
    {%- endif -%}
{%- endmacro -%}
