{%- macro is_among(column, query) -%}
    {{ adapter.dispatch('is_among')(column, query) }}
{%- endmacro -%}

{#- An array, unlike a subquery, reaches an index below the windows of a view. -#}
{%- macro postgres__is_among(column, query) -%}
    {{ column }} = any(array({{ query }}))
{%- endmacro -%}

{%- macro spark__is_among(column, query) -%}
    {{ column }} in ({{ query }})
{%- endmacro -%}
