{%- macro ref_date() -%}
    {{ return(run_date() if var('source_dt') is none else date_var('source_dt')) }}
{%- endmacro -%}
