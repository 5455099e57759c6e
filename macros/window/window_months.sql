{%- macro window_months(first_build=none) -%}
    {%- set reference_date = ref_date() -%}
    {%- set first_day = reference_date - modules.datetime.timedelta(
        days=checked_var('backfill_period')) -%}
    {#- Counted from year 0, so that a span of months is a range of integers. -#}
    {%- set reference_month = reference_date.year * 12 + reference_date.month - 1 -%}
    {%- set first_month = first_day.year * 12 + first_day.month - 1 -%}
    {%- if first_build or (first_build is none and not is_incremental()) -%}
        {%- set first_month = [first_month, reference_month - checked_var('months') + 1] | min -%}
    {%- endif -%}
    {%- set months = [] -%}
    {%- for month in range(first_month, reference_month + 1) -%}
        {%- do months.append(modules.datetime.date(month // 12, month % 12 + 1, 1)) -%}
    {%- endfor -%}
    {%- for text in checked_var('reprocess_months') -%}
        {%- do months.append(modules.datetime.date(text[:4] | int, text[5:] | int, 1)) -%}
        {%- if months[-1] > reference_date -%}
            {{ exceptions.raise_compiler_error(
                "var reprocess_months must not have a month after source_dt: source_dt is "
                ~ reference_date ~ ", the month is " ~ text) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(months | unique | sort) }}
{%- endmacro -%}
