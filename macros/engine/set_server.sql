{%- macro set_server(nested_loops=true) -%}
    {{ adapter.dispatch('set_server')(checked_var('work_mem'), nested_loops) }}
{%- endmacro -%}

{%- macro postgres__set_server(megabytes, nested_loops) -%}
    set local lock_timeout = '{{ checked_var("lock_timeout") }}s';
    set local client_connection_check_interval = '1s';
    set local idle_in_transaction_session_timeout = 0;
    {{ "set local work_mem = '" ~ megabytes ~ "MB';" if megabytes }}
    {{ "set local enable_nestloop = off;" if not nested_loops }}
    set local jit = off
{%- endmacro -%}

{%- macro spark__set_server(megabytes, nested_loops) -%}{%- endmacro -%}
