{%- macro won_step() -%}
    {%- set text = var('won_step') | string -%}
    {%- if not modules.re.match('^[A-Za-z0-9._ -]{1,40}$', text) or '\n' in text -%}
        {{ exceptions.raise_compiler_error(
            "var won_step is not a step of the funnel: " ~ text | tojson
            ~ ". Write it as in seeds/funnel_steps.csv, such as '7'.") }}
    {%- endif -%}
    {{ return(text) }}
{%- endmacro -%}
