{%- macro ref_date() -%}
    {{ return(checked_var('source_dt') or run_date()) }}
{%- endmacro -%}
