{%- materialization view, adapter='postgres' -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set view = this.incorporate(type='view') -%}
    {%- if not (existing and existing.is_view) -%}
        {{ return(dbt.materialization_view_default()) }}
    {%- endif -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- call statement('main') -%}
        do $view$
        begin
            execute $definition${{ get_replace_view_sql(view, sql) }}$definition$;
        exception when invalid_table_definition then
            drop view {{ view }} cascade;
            execute $definition${{ get_replace_view_sql(view, sql) }}$definition$;
        end
        $view$
    {%- endcall -%}
    {%- do apply_grants(view, config.get('grants'), should_revoke=true) -%}
    {%- do persist_docs(view, model) -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [view]}) }}
{%- endmaterialization -%}
