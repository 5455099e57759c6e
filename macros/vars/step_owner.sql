{%- macro step_owner(step_column) -%}
    case {{ step_column }}
        {%- for step, owner in checked_var('step_owners').items() %}
        when '{{ dbt.escape_single_quotes(step | string) }}'
            then '{{ dbt.escape_single_quotes(owner | string) }}'
        {%- endfor %}
        else 'nobody'
    end
{%- endmacro -%}
