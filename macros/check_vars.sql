{%- macro check_vars() -%}
    {%- do identifier_var('raw_schema') -%}
    {%- do identifier_var('loaded_at_field') -%}
    {%- do integer_var('freshness_warn_hours', 1, 100000) -%}
    {%- do integer_var('freshness_error_hours', 1, 100000) -%}
    {%- do integer_var('backfill_period', 0, 36600) -%}
    {%- do integer_var('months', 1, 1200) -%}
    {%- do integer_var('lock_timeout', 0, 86400) -%}
    {%- do integer_var('work_mem', 0, 100000) -%}
    {%- do last_day_to_process() -%}
    {%- do reprocess_months() -%}
{%- endmacro -%}
