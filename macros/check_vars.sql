{%- macro check_vars() -%}
    {%- do identifier_var('raw_schema') -%}
    {%- do identifier_var('loaded_at_field') -%}
    {%- do integer_var('freshness_warn_hours', 1, 100000) -%}
    {%- do integer_var('freshness_error_hours', 1, 100000) -%}
    {%- do integer_var('backfill_period', 0, 36600) -%}
    {%- do integer_var('months', 1, 1200) -%}
    {%- do integer_var('lock_timeout', 0, 86400) -%}
    {%- do last_day_to_process() -%}
    {%- do reprocess_months() -%}
    {%- do as_of_date() -%}
    {%- do deals_known_through() -%}
    {%- do won_step() -%}
    {%- do integer_var('mature_after_days', 0, 36600) -%}
    {%- if var('stalled_after_days') is not none -%}
        {%- do integer_var('stalled_after_days', 0, 36600) -%}
    {%- endif -%}
{%- endmacro -%}
