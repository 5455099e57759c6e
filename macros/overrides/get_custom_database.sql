{%- macro generate_database_name(custom_database_name=none, node=none) -%}
    {%- if target.name in ('prod', 'local', 'spark', 'spark_cluster') and custom_database_name -%}
        {{ return(custom_database_name | trim) }}
    {%- endif -%}
    {{ return(target.database or none) }}
{%- endmacro -%}
