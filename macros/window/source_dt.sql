{%- macro source_dt() -%}
    cast('{{ ref_date() }}' as date)
{%- endmacro -%}
