{%- macro window_ranges() -%}
    {%- set ranges = [] -%}
    {%- for first_day, until in month_ranges() -%}
        {%- if ranges and ranges[-1][1] == first_day -%}
            {%- do ranges.append((ranges.pop()[0], until)) -%}
        {%- else -%}
            {%- do ranges.append((first_day, until)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(ranges) }}
{%- endmacro -%}
