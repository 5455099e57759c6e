{%- macro computed_deals() -%}
    {#- Not by ref: deal_states is built after the model that reads its last state here. #}
    {%- set states = none if should_full_refresh()
        else adapter.get_relation(this.database, this.schema, 'deal_states') -%}
    {%- if states -%}
        select deal_id, events_hash, last_event_at, event_months from {{ states }}
    {%- else -%}
        select
            cast(null as bigint) as deal_id,
            cast(null as numeric) as events_hash,
            cast(null as timestamp) as last_event_at,
            cast(null as date[]) as event_months
        where false
    {%- endif -%}
{%- endmacro -%}
