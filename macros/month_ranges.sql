{%- macro month_ranges() -%}
    {%- set ranges = [] -%}
    {%- set end = last_day_to_process() + modules.datetime.timedelta(days=1) -%}
    {%- for month in window_months() -%}
        {%- set first_day = modules.datetime.date(month // 12, month % 12 + 1, 1) -%}
        {%- set next_month = modules.datetime.date((month + 1) // 12, (month + 1) % 12 + 1, 1) -%}
        {%- do ranges.append((first_day, [next_month, end] | min)) -%}
    {%- endfor -%}
    {{ return(ranges) }}
{%- endmacro -%}
