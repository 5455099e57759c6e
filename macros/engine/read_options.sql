{%- macro read_options(fields) -%}
    {{ adapter.dispatch('read_options')(fields) }}
{%- endmacro -%}

{%- macro postgres__read_options(fields) -%}
    select field, listed.item ->> 'id' as option_id, listed.item ->> 'label' as option_label
    from (
        select field, cast(nullif(trim(cast(field_value_options as text)), '') as jsonb) as list
        from {{ fields }}
    ) as lists
    cross join lateral jsonb_array_elements(
        case when jsonb_typeof(list) = 'array' then list end
    ) as listed (item)
{%- endmacro -%}

{%- macro spark__read_options(fields) -%}
    select
        field,
        get_json_object(item, '$.id') as option_id,
        get_json_object(item, '$.label') as option_label
    from {{ fields }}
    lateral view explode(from_json(field_value_options, 'array<string>')) listed as item
{%- endmacro -%}
