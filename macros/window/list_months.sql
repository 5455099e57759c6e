{%- macro list_months(first_build=none) -%}
    {%- for month in window_months(first_build) -%}
        {{ ', ' if not loop.first }}date '{{ '%04d-%02d-01' | format(month // 12, month % 12 + 1) }}'
    {%- endfor -%}
{%- endmacro -%}
