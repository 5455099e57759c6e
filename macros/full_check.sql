{%- macro full_check() -%}
    {%- if var('full_check') is not boolean -%}
        {{ exceptions.raise_compiler_error(
            "var full_check is neither true nor false: " ~ var('full_check') | string | tojson) }}
    {%- endif -%}
    {{ return(var('full_check')) }}
{%- endmacro -%}
