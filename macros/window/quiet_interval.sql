{%- macro quiet_interval() -%}
    {{ return((run_date() - ref_date()).days + integer_var('quiet_days', 1, 100000)) }}
{%- endmacro -%}
