{%- macro window_ranges(first_build=none, whole_months=false) -%}
    {%- set ranges = [] -%}
    {%- for first_day, until in month_ranges(first_build, whole_months) -%}
        {%- if ranges and ranges[-1][1] == first_day -%}
            {%- do ranges.append((ranges.pop()[0], until)) -%}
        {%- else -%}
            {%- do ranges.append((first_day, until)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(ranges) }}
{%- endmacro -%}
