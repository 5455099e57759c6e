{%- macro set_planner(nested_loops=true) -%}
    {%- set megabytes = checked_var('work_mem') -%}
    {%- if megabytes -%}
        set local work_mem = '{{ megabytes }}MB';
    {%- endif -%}
    {%- if not nested_loops -%}
        set local enable_nestloop = off;
    {%- endif -%}
    set local jit = off
{%- endmacro -%}
