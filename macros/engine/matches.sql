{%- macro matches(text, pattern) -%}
    {{ adapter.dispatch('matches')(text, pattern) }}
{%- endmacro -%}

{%- macro postgres__matches(text, pattern) -%}
    {{ text }} ~ '^(?:{{ pattern }})$'
{%- endmacro -%}

{#- The end is where no character follows; $ would also be in front of a line's end. -#}
{%- macro spark__matches(text, pattern) -%}
    {{ text }} rlike '(?s)^(?:{{ pattern }})(?!.)'
{%- endmacro -%}
