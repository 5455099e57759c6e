{%- macro in_byte_order(text) -%}
    {{ adapter.dispatch('in_byte_order')(text) }}
{%- endmacro -%}

{%- macro postgres__in_byte_order(text) -%}
    {{ text }} collate "C"
{%- endmacro -%}

{%- macro spark__in_byte_order(text) -%}
    {{ text }}
{%- endmacro -%}
