{%- macro stored_types(data_type) -%}
    {{ return(adapter.dispatch('stored_types')(data_type)) }}
{%- endmacro -%}

{#- Postgres names a type without its precision. -#}
{%- macro postgres__stored_types(data_type) -%}
    {{ return({
        'bigint': ['bigint', 'integer', 'smallint'],
        'text': ['text', 'character varying'],
        'jsonb': ['jsonb', 'json', 'text', 'character varying'],
        'timestamp': ['timestamp without time zone'],
    }.get(data_type, [data_type.partition('(')[0]])) }}
{%- endmacro -%}

{%- macro spark__stored_types(data_type) -%}
    {{ return({
        'bigint': ['bigint', 'int', 'smallint'],
        'integer': ['int'],
        'text': ['string'],
        'jsonb': ['string'],
        'timestamp': ['timestamp', 'timestamp_ntz'],
    }.get(data_type, [data_type | replace('numeric', 'decimal') | replace(' ', '')])) }}
{%- endmacro -%}
