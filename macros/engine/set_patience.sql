{%- macro set_patience() -%}
    set local lock_timeout = '{{ checked_var("lock_timeout") }}s';
    set local client_connection_check_interval = '1s'
{%- endmacro -%}
