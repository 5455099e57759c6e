{%- macro checked_name(variable, name) -%}
    {%- set rules = var_rules() -%}
    {%- set rule = dict(rules['types']['identifier'], **rules['environment'][variable]) -%}
    {%- if parse_value(rule, name) is none -%}
        {{ exceptions.raise_compiler_error(
            variable ~ " must be " ~ rule['is'] ~ ": " ~ name | string | tojson) }}
    {%- endif -%}
    {{ return(name) }}
{%- endmacro -%}
