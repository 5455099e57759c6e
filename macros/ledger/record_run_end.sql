{%- macro record_run_end(results) -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'seed') -%}
        {%- set models = results | selectattr('node.resource_type', 'equalto', 'model') | list -%}
        {%- set built = models | selectattr('status', 'equalto', 'success') | list -%}
        {%- set daily = built
            | selectattr('node.name', 'in', ['daily_activity_stats', 'daily_deal_stats']) | list -%}
        {%- set marts = built | selectattr('node.name', 'in', [
            'deal_months', 'deal_stage_visits', 'deal_steps', 'deal_values', 'deal_states',
            'monthly_stats_by_owner'
        ]) | list -%}
        {%- set bad = results | selectattr('status', 'in', ['error', 'fail']) | list -%}
        {%- set rows = built | map(attribute='adapter_response')
            | selectattr('rows_affected', 'defined') | map(attribute='rows_affected') -%}
        update {{ runs_table() }}
        set
            finished_at = clock_timestamp(),
            outcome = '{{ "failed" if bad else "success" }}',
            is_complete = {{ daily | length == 2 }},
            has_insight = {{ marts | length == 6 }},
            models = {{ built | length }},
            tests = {{ results | selectattr('node.resource_type', 'equalto', 'test') | list | length }},
            rows_written = {{ rows | select('gt', 0) | sum }}
        where run_id = '{{ invocation_id }}';
        commit
    {%- endif -%}
{%- endmacro -%}
