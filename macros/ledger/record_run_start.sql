{%- macro record_run_start() -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'seed') -%}
        {%- set command = ['dbt ' ~ flags.WHICH, 'dbt ' ~ dbt_version] -%}
        {%- if var('recorded_as') is not none -%}
            {%- set command = var('recorded_as') -%}
        {%- endif -%}
        {%- set months = [] -%}
        {%- if 'model.funnel.daily_deal_stats' in selected_resources
                or 'model.funnel.daily_activity_stats' in selected_resources -%}
            {%- for month in window_months(first_build=is_first_build()) -%}
                {%- do months.append("'%04d-%02d'" | format(month // 12, month % 12 + 1)) -%}
            {%- endfor -%}
        {%- endif -%}
        {#- Without the seed, a run counts by the definition of the run before it. -#}
        {%- set definition = "coalesce((
            select definition from " ~ runs_table() ~ " order by started_at desc limit 1), '')" -%}
        {%- if 'seed.funnel.funnel_steps' in selected_resources -%}
            {%- set definition =
                "'" ~ graph.nodes['seed.funnel.funnel_steps'].checksum.checksum ~ "'" -%}
        {%- endif -%}
        {%- set builds_deals = 'model.funnel.deal_stage_visits' in selected_resources
            or 'model.funnel.deal_states' in selected_resources -%}
        {{ create_runs_table() }}
        insert into {{ runs_table() }} (
            run_id, command, version, source_dt, as_of, months, definition
        )
        values (
            '{{ invocation_id }}',
            '{{ command[0] | string | replace("'", "''") }}',
            '{{ command[1] | string | replace("'", "''") }}',
            {{ source_dt() }},
            {{ "cast('" ~ as_of_date() ~ "' as date)" if builds_deals else 'null' }},
            cast(array[{{ months | join(', ') }}] as text[]),
            {{ definition }}
        );
        commit
    {%- endif -%}
{%- endmacro -%}
