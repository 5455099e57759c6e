{#- A table that is replaced is missing for a moment. So the name is that of a view, which is turned to
    a new table once that is written. The one before stays for whoever still reads it; older ones go.
    Where a killed run has left files, no table of that name can be created: each run has its own. -#}
{%- materialization table, adapter='spark' -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set view = this.incorporate(type='view') -%}
    {%- set shown = run_query('show create table ' ~ view).columns[0].values()[0]
        if existing and existing.is_view else '' -%}
    {%- set prefix = this.identifier ~ '__' -%}
    {%- set table = this.incorporate(
        path={'identifier': prefix ~ invocation_id[:8]}, type='table') -%}

    {{ run_hooks(pre_hooks) }}
    {%- call statement('main') -%}
        {{ create_table_as(false, table, sql) }}
    {%- endcall -%}
    {%- if existing and not existing.is_view -%}
        {%- do adapter.drop_relation(existing) -%}
    {%- endif -%}
    {%- do run_query(
        ('alter view ' if shown else 'create view ') ~ view ~ ' as select * from ' ~ table) -%}
    {%- do apply_grants(view, config.get('grants'), should_revoke=true) -%}
    {%- do persist_docs(view, model) -%}
    {%- set tables = run_query(
        'show tables in ' ~ this.without_identifier() ~ " like '" ~ prefix ~ "*'") -%}
    {%- for name in tables.columns['tableName'].values() -%}
        {%- if name != table.identifier and name not in shown -%}
            {%- do adapter.drop_relation(
                this.incorporate(path={'identifier': name}, type='table')) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ run_hooks(post_hooks) }}

    {{ return({'relations': [view]}) }}
{%- endmaterialization -%}
