{%- macro identifier_var(name) -%}
    {%- set text = var(name) | string -%}
    {%- if not modules.re.match('^[A-Za-z_][A-Za-z0-9_]{0,62}$', text) or '\n' in text -%}
        {{ exceptions.raise_compiler_error(
            "var " ~ name ~ " is not a name: " ~ text | tojson
            ~ ". Use letters, digits and underscores.") }}
    {%- endif -%}
    {{ return(text) }}
{%- endmacro -%}
