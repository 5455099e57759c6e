{%- macro window_months(first_build=none) -%}
    {#- Months are counted from year 0, so that a span of months is a range of whole numbers. -#}
    {%- set reference_date = ref_date() -%}
    {%- set first_day = reference_date - modules.datetime.timedelta(
        days=integer_var('backfill_period', 0, 36600)) -%}
    {%- set reference_month = reference_date.year * 12 + reference_date.month - 1 -%}
    {%- set first_month = first_day.year * 12 + first_day.month - 1 -%}
    {%- if first_build or (first_build is none and not is_incremental()) -%}
        {%- set history = integer_var('months', 1, 1200) -%}
        {%- set first_month = [first_month, reference_month - history + 1] | min -%}
    {%- endif -%}
    {%- set months = range(first_month, reference_month + 1) | list + reprocess_months() -%}
    {{ return(months | unique | sort) }}
{%- endmacro -%}
