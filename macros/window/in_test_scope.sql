{%- macro in_test_scope(column, is_date=false) -%}
    {%- if checked_var('full_check') -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set limits = [] -%}
    {%- for first_day, next_day in window_ranges(first_build=false, whole_months=true) -%}
        {%- set first, until = day_start(first_day), day_start(next_day) -%}
        {%- if is_date -%}
            {%- set first, until = "date '" ~ first_day ~ "'", "date '" ~ next_day ~ "'" -%}
        {%- endif -%}
        {%- do limits.append(column ~ ' >= ' ~ first ~ ' and ' ~ column ~ ' < ' ~ until) -%}
    {%- endfor -%}
    {{ return('(' ~ limits | join(' or ') ~ ')') }}
{%- endmacro -%}
