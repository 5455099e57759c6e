{%- macro set_patience() -%}
    set local lock_timeout = '{{ integer_var("lock_timeout", 0, 86400) }}s';
    set local client_connection_check_interval = '1s'
{%- endmacro -%}
