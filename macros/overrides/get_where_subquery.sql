{%- macro get_where_subquery(relation) -%}
    {%- set condition = config.get('where', '') -%}
    {%- if not condition -%}
        {{ return(relation) }}
    {%- endif -%}
    {#- A config is rendered when the project is parsed, before the window is known. -#}
    {%- set windowed = modules.re.match('^([a-z_]+) in window$', condition) -%}
    {%- if windowed -%}
        {%- set condition = in_test_scope(windowed[1]) -%}
    {%- endif -%}
    {{ return('(select * from ' ~ relation ~ ' where ' ~ condition ~ ') as tested_rows') }}
{%- endmacro -%}
