{%- macro deals_are_computed() -%}
    {{ return(
        is_incremental()
        and adapter.get_relation(this.database, this.schema, 'deal_states') is not none
    ) }}
{%- endmacro -%}
