{#- Digits alone, as nearly all ids are, need no pattern. -#}
{%- macro read_id(text) -%}
    {%- set around = " \t\n\r\u00a0\u2007\u202f\u200b\ufeff\"''" -%}
    {%- set bare = "trim(both '" ~ around ~ "' from " ~ text ~ ")" -%}
    {#- Three zeros behind a point can be thousands: 1.000. -#}
    {%- set is_id = matches(bare, '[0-9]{1,18}([.](0{0,2}|0{4,}))?') -%}
    case
        when {{ text }} not like '0%' and translate({{ text }}, '0123456789', '') = ''
            then {{ text }}
        when length({{ text }}) < 40 and {{ is_id }}
            then coalesce(nullif(trim(leading '0' from split_part({{ bare }}, '.', 1)), ''), '0')
        else lower(trim({{ text }}))
    end
{%- endmacro -%}
