{%- macro window_ranges(first_build=none, whole_months=false) -%}
    {%- set ranges = [] -%}
    {%- set end = last_day_to_process() + modules.datetime.timedelta(days=1) -%}
    {%- for first_day in window_months(first_build) -%}
        {%- set next_month = (first_day + modules.datetime.timedelta(days=31)).replace(day=1) -%}
        {%- set until = next_month if whole_months else [next_month, end] | min -%}
        {%- set begin = ranges.pop()[0] if ranges and ranges[-1][1] == first_day else first_day -%}
        {%- do ranges.append((begin, until)) -%}
    {%- endfor -%}
    {{ return(ranges) }}
{%- endmacro -%}
