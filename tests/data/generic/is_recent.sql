{#- Nothing in the days before the reference date that the var quiet_days says. The package counts
    from now on, so the days from the reference date to now are added. -#}
{% test is_recent(model, column_name) %}

{{ dbt_expectations.test_expect_row_values_to_have_recent_data(
    model,
    column_name,
    datepart='day',
    interval=(ref_date(of_run=true) - ref_date()).days + checked_var('quiet_days')
) }}

{% endtest %}
