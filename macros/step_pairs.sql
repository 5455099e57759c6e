{%- macro step_pairs() -%}
    {%- set pairs = [] -%}
    {%- set default = number_var('min_step_ratio', 0, 1) -%}
    {%- for pair in var('step_pairs') -%}
        {%- set first, second, ratio = (pair | map('string') | list + [default])[:3] -%}
        {%- if not modules.re.match(
                '^[0-9]{1,3}([.][0-9]{1,3})? [0-9]{1,3}([.][0-9]{1,3})? (0([.][0-9]{1,6})?|1)$',
                [first, second, ratio] | join(' ')) -%}
            {{ exceptions.raise_compiler_error(
                "var step_pairs holds " ~ pair | string | tojson
                ~ ". Write a pair as ['4', '5'], or with a ratio of its own ['4', '5', 0.6].") }}
        {%- endif -%}
        {%- do pairs.append((first, second, ratio)) -%}
    {%- endfor -%}
    {{ return(pairs) }}
{%- endmacro -%}
