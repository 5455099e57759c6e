{%- macro record_run_end(results) -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'seed') -%}
        {%- set models = results | selectattr('node.resource_type', 'equalto', 'model') | list -%}
        {%- set built = models | selectattr('status', 'equalto', 'success') | list -%}
        {%- set daily = built
            | selectattr('node.name', 'in', ['daily_activity_stats', 'daily_deal_stats']) | list -%}
        {%- set of_deals = built | selectattr('node.name', 'in', [
            'deal_months', 'deal_first_statuses', 'deal_stage_visits', 'deal_closings', 'deal_steps',
            'deal_values', 'deal_states'
        ]) | list -%}
        {%- set bad = results | selectattr('status', 'in', ['error', 'fail']) | list -%}
        {%- set rows = built | map(attribute='adapter_response')
            | selectattr('rows_affected', 'defined') | map(attribute='rows_affected') -%}
        {%- set warnings = results | selectattr('status', 'equalto', 'warn')
            | map(attribute='node.name') | unique | sort -%}
        {%- call statement('record_run_end', auto_begin=true) -%}
        insert into {{ adapter.quote(generate_schema_name('pipedrive_meta', none)) }}.run_events
            (run_id, event, happened_at, outcome, is_complete, has_marts, models, tests, rows_written,
            warnings)
        values (
            '{{ invocation_id }}',
            'ended',
            {{ dbt.current_timestamp() }},
            '{{ "failed" if bad else "success" }}',
            {{ daily | length == 2 }},
            {{ of_deals | length == 7 }},
            {{ built | length }},
            {{ results | selectattr('node.resource_type', 'equalto', 'test') | list | length }},
            {{ rows | select('gt', 0) | sum }},
            '{{ warnings | join(" ") }}'
        )
        {%- endcall -%}
        {%- do adapter.commit() -%}
    {%- endif -%}
{%- endmacro -%}
