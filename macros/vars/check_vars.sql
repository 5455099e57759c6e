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
    {%- do boolean_var('full_check') -%}
    {%- do step_pairs() -%}
    {%- for name in ('min_volume_ratio', 'min_kept_ratio', 'min_known_ratio', 'max_back_ratio') -%}
        {%- do number_var(name, 0, 1) -%}
    {%- endfor -%}
    {%- for name in ('min_step_deals', 'min_volume', 'anomaly_min_months', 'quiet_days') -%}
        {%- do integer_var(name, 1, 100000) -%}
    {%- endfor -%}
    {%- do number_var('anomaly_threshold', 0, 1000) -%}
    {%- do number_var('max_hour_shift', 0, 12) -%}
    {%- do as_of_date() -%}
    {%- do deals_known_through() -%}
    {%- do boolean_var('recompute_deals') -%}
    {%- do won_step() -%}
    {%- do integer_var('mature_after_days', 0, 36600) -%}
    {%- if var('stalled_after_days') is not none -%}
        {%- do integer_var('stalled_after_days', 0, 36600) -%}
    {%- endif -%}
{%- endmacro -%}
