{%- macro list_months() -%}
    {%- for month in window_months() -%}
        {{ ', ' if not loop.first }}date '{{ '%04d-%02d-01' | format(month // 12, month % 12 + 1) }}'
    {%- endfor -%}
{%- endmacro -%}
