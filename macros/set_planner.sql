{%- macro set_planner() -%}
    {%- set megabytes = integer_var('work_mem', 0, 100000) -%}
    {%- if megabytes -%}
        set local work_mem = '{{ megabytes }}MB';
    {%- endif -%}
    set local jit = off
{%- endmacro -%}
