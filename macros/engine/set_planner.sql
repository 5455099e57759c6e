{%- macro set_planner(nested_loops=true) -%}
    {{ adapter.dispatch('set_planner')(checked_var('work_mem'), nested_loops) }}
{%- endmacro -%}

{%- macro postgres__set_planner(megabytes, nested_loops) -%}
    {%- if megabytes -%}
        set local work_mem = '{{ megabytes }}MB';
    {%- endif -%}
    {%- if not nested_loops -%}
        set local enable_nestloop = off;
    {%- endif -%}
    set local jit = off
{%- endmacro -%}

{%- macro spark__set_planner(megabytes, nested_loops) -%}{%- endmacro -%}
