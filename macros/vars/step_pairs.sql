{%- macro step_pairs() -%}
    {%- set pairs = [] -%}
    {%- set default = number_var('min_step_ratio', 0, 1) -%}
    {%- for pair in var('step_pairs') -%}
        {%- set values = [] if pair is string or pair is not sequence else pair -%}
        {%- set text = values | map('string') | join(' ') ~ (' ' ~ default if values | length == 2) -%}
        {%- if not modules.re.match(
                '^[0-9]{1,3}([.][0-9]{1,3})? [0-9]{1,3}([.][0-9]{1,3})? (0([.][0-9]{1,6})?|1)$',
                text) -%}
            {{ exceptions.raise_compiler_error(
                "var step_pairs holds " ~ pair | string | tojson
                ~ ". Write a pair as ['4', '5'], or with a ratio of its own ['4', '5', 0.6].") }}
        {%- endif -%}
        {%- do pairs.append(text.split(' ')) -%}
    {%- endfor -%}
    {{ return(pairs) }}
{%- endmacro -%}
