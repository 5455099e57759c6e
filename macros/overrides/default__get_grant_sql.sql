{#- dbt's own puts the names into the statement as they are. -#}
{%- macro default__get_grant_sql(relation, privilege, grantees) -%}
    {%- set quoted = [] -%}
    {%- for grantee in grantees -%}
        {%- do quoted.append(adapter.quote(grantee | replace('"', '""'))) -%}
    {%- endfor -%}
    grant {{ privilege }} on {{ relation.render() }} to {{ quoted | join(', ') }}
{%- endmacro -%}
