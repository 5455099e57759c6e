{%- macro seconds_between(begin, end) -%}
    {{ adapter.dispatch('seconds_between')(begin, end) }}
{%- endmacro -%}

{%- macro postgres__seconds_between(begin, end) -%}
    extract(epoch from {{ end }} - {{ begin }})
{%- endmacro -%}

{%- macro spark__seconds_between(begin, end) -%}
    cast(unix_micros({{ end }}) - unix_micros({{ begin }}) as decimal(20, 0)) / 1000000
{%- endmacro -%}
