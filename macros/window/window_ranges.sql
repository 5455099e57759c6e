{%- macro window_ranges(first_build=none, whole_months=false) -%}
    {%- set ranges = [] -%}
    {%- set end = last_day_to_process() + modules.datetime.timedelta(days=1) -%}
    {%- for month in window_months(first_build) -%}
        {%- set first_day = modules.datetime.date(month // 12, month % 12 + 1, 1) -%}
        {%- set next_month = modules.datetime.date((month + 1) // 12, (month + 1) % 12 + 1, 1) -%}
        {%- set until = next_month if whole_months else [next_month, end] | min -%}
        {%- if ranges and ranges[-1][1] == first_day -%}
            {%- set first_day = ranges.pop()[0] -%}
        {%- endif -%}
        {%- do ranges.append((first_day, until)) -%}
    {%- endfor -%}
    {{ return(ranges) }}
{%- endmacro -%}
