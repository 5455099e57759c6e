{%- macro forget_vanished_deals() -%}
    {%- set changes = source('pipedrive_raw', 'deal_changes') -%}
    {%- if is_incremental() -%}
        with
        touched as ({{ touched_deals() }}),
        remaining as (
            select deal_id from {{ changes }}
            where
                deal_id = any(array(select touched.deal_id from touched))
                and lower(trim(changed_field_key)) in (
                    'add_time', 'user_id', 'value', 'stage_id', 'lost_reason', 'status'
                )
                and {{ is_known('change_time') }}
        )
        delete from {{ this }}
        where
            deal_id in (select touched.deal_id from touched)
            and deal_id not in (select remaining.deal_id from remaining)
    {%- endif -%}
{%- endmacro -%}
