{%- macro boolean_var(name) -%}
    {%- if var(name) is not boolean -%}
        {{ exceptions.raise_compiler_error(
            "var " ~ name ~ " is neither true nor false: " ~ var(name) | string | tojson) }}
    {%- endif -%}
    {{ return(var(name)) }}
{%- endmacro -%}
