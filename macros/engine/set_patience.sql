{%- macro set_patience() -%}
    {{ adapter.dispatch('set_patience')(checked_var('lock_timeout')) }}
{%- endmacro -%}

{%- macro postgres__set_patience(seconds) -%}
    set local lock_timeout = '{{ seconds }}s';
    set local client_connection_check_interval = '1s';
    set local idle_in_transaction_session_timeout = 0
{%- endmacro -%}

{%- macro spark__set_patience(seconds) -%}{%- endmacro -%}
