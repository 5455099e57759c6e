{%- macro parse_value(rule, value) -%}
    {%- set type = rule['type'] -%}
    {%- if type == 'boolean' -%}
        {{ return(value if value is boolean else none) }}
    {%- elif type == 'owners' -%}
        {{ return(value if value is mapping else none) }}
    {%- elif type == 'pairs' and (value is string or value is not sequence) -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set text = value | map('string') | join(' ') if type == 'pairs' else value | string -%}
    {%- if value is none or not modules.re.fullmatch(rule['pattern'], text) -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set comparable =
        text | int if type == 'integer' else text | float if type == 'number' else text -%}
    {%- if 'at_most' in rule and not rule['at_least'] <= comparable <= rule['at_most'] -%}
        {{ return(none) }}
    {%- elif type == 'date' -%}
        {%- set first_day = modules.datetime.date(text[:4] | int, text[5:7] | int, 1) -%}
        {%- set day = first_day + modules.datetime.timedelta(days=text[8:] | int - 1) -%}
        {{ return(day if day | string == text else none) }}
    {%- elif type == 'timezone' and text not in modules.pytz.all_timezones_set -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return(comparable if type == 'integer' else text) }}
{%- endmacro -%}
