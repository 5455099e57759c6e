{%- macro date_series(first_date, last_date, step='day') -%}
    {{ adapter.dispatch('date_series')(first_date, last_date, step) }}
{%- endmacro -%}

{%- macro postgres__date_series(first_date, last_date, step) -%}
    select cast(series.moment as date) as date
    from generate_series(
        cast('{{ first_date }}' as timestamp),
        cast('{{ last_date }}' as timestamp),
        interval '1 {{ step }}'
    ) as series (moment)
{%- endmacro -%}

{%- macro spark__date_series(first_date, last_date, step) -%}
    select explode(
        case when date '{{ first_date }}' <= date '{{ last_date }}'
            then sequence(date '{{ first_date }}', date '{{ last_date }}', interval 1 {{ step }})
        end
    ) as date
{%- endmacro -%}
