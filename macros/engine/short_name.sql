{#- An index of Postgres holds no longer ones. The hash keeps two names apart that begin alike. -#}
{%- macro short_name(name) -%}
    case
        when length({{ name }}) > 255 then left({{ name }}, 220) || '...' || md5({{ name }})
        else {{ name }}
    end
{%- endmacro -%}
