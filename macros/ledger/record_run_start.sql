{%- macro record_run_start() -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'seed') -%}
        {%- set schema = generate_schema_name('pipedrive_meta', none) -%}
        {%- set meta = adapter.quote(schema) -%}
        {%- set command = checked_var('recorded_as')
            or ['dbt ' ~ flags.WHICH, 'dbt ' ~ dbt_version] -%}
        {%- set daily = ['model.funnel.daily_activity_stats', 'model.funnel.daily_deal_stats'] -%}
        {%- set built, months = [], [] -%}
        {%- for model in graph.nodes.values() | selectattr('unique_id', 'in', daily) -%}
            {%- do built.append(adapter.get_relation(model.database, model.schema, model.name)) -%}
        {%- endfor -%}
        {%- if daily | select('in', selected_resources) | list -%}
            {%- for month in window_months(first_build=not built | select | list) -%}
                {%- do months.append(month.strftime('%Y-%m')) -%}
            {%- endfor -%}
        {%- endif -%}
        {#- Without the seed, a run counts by that of the run before it. -#}
        {%- set seed = "coalesce((select split_part(definition, ' ', 1) from " ~ meta
            ~ ".runs order by started_at desc limit 1), '')" -%}
        {%- if 'seed.funnel.funnel_steps' in selected_resources -%}
            {%- set seed = "'" ~ graph.nodes['seed.funnel.funnel_steps'].checksum.checksum ~ "'" -%}
        {%- endif -%}
        {%- set pipelines = checked_var('pipelines') | join('\n') | lower -%}
        {%- set vars = checked_var('timezone')
            ~ (',' ~ local_md5(pipelines) if pipelines) ~ ' ' ~ checked_var('won_step') -%}
        {%- set builds_deals = 'model.funnel.deal_stage_visits' in selected_resources
            or 'model.funnel.deal_states' in selected_resources -%}
        {%- do create_ledger(meta) -%}
        {%- call statement('record_run_start', auto_begin=true) -%}
        insert into {{ meta }}.run_events
            (run_id, event, happened_at, command, version, source_dt, as_of, months, definition)
        select '{{ invocation_id }}', 'started', {{ dbt.current_timestamp() }},
            '{{ command[0] | string | replace("'", "''") }}',
            '{{ command[1] | string | replace("'", "''") }}',
            {{ source_dt() }}, {{ "cast('" ~ as_of_date() ~ "' as date)" if builds_deals else 'null' }},
            '{{ months | join(" ") }}', {{ seed }} || ' {{ vars | replace("'", "''") }}'
        {%- endcall -%}
        {%- do adapter.commit() -%}
    {%- endif -%}
{%- endmacro -%}
