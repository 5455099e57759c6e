{%- macro delete_changed_deals() -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where deal_id = any(array(select deal_id from {{ ref('changed_deals') }}))
    {%- elif execute and 'model.funnel.changed_deals' not in selected_resources -%}
        {#- Built whole on its own: what was compared says nothing about these rows. -#}
        {%- set states = adapter.get_relation(this.database, this.schema, 'deal_states') -%}
        {{ 'update ' ~ states ~ ' set events_hash = null' if states }}
    {%- endif -%}
{%- endmacro -%}
