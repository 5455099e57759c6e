{%- macro integer_var(name, at_least, at_most) -%}
    {%- set text = var(name) | string -%}
    {%- if not (modules.re.match('^[0-9]{1,6}$', text) and at_least <= text | int <= at_most) -%}
        {{ exceptions.raise_compiler_error(
            "var " ~ name ~ " is not a whole number from " ~ at_least ~ " to " ~ at_most
            ~ ": " ~ text | tojson) }}
    {%- endif -%}
    {{ return(text | int) }}
{%- endmacro -%}
