{%- macro checked_var(name) -%}
    {%- set rules = var_rules() -%}
    {%- set rule = dict(rules['types'][rules['vars'][name]['type']], **rules['vars'][name]) -%}
    {%- set value = var(name) -%}
    {%- if value is none and rule['is_optional'] -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set is_list = value is sequence and value is not string and value is not mapping -%}
    {%- set items = value if is_list and rule['is_list'] else [value] -%}
    {%- set parsed = [] -%}
    {%- for item in items -%}
        {%- do parsed.append(parse_value(rule, item) if is_list or not rule['is_list'] else none) -%}
        {%- if parsed[-1] is none -%}
            {{ exceptions.raise_compiler_error(
                "var " ~ name ~ " must be " ~ rule['is']
                ~ (" from " ~ rule['at_least'] ~ " to " ~ rule['at_most'] if 'at_most' in rule)
                ~ ": " ~ item | string | tojson) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(parsed if rule['is_list'] else parsed[0]) }}
{%- endmacro -%}
