-- A row here is a column that has been given another type by hand. Build a view again with
-- `funnel run`. Give a column of monthly_stats_by_owner and monthly_stats_by_pipeline back its own
-- with `alter table`: a run replaces their rows, not their columns.
{%- set models = [
    ref('deals'),
    ref('funnel_conversion'),
    ref('losses_monthly'),
    ref('monthly_stats_by_owner'),
    ref('monthly_stats_by_pipeline'),
    ref('pipeline_forecast'),
    ref('pipeline_forecast_backtest'),
    ref('stage_win_rates'),
    ref('stalled_deals'),
    ref('step_velocity'),
    ref('time_spine'),
    ref('win_rate_monthly'),
    ref('won_value_monthly'),
] %}
{{ test_has_declared_types(models, exactly=true) }}
