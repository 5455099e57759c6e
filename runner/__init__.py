"""The command line of funnel: it computes the reference date and drives dbt."""

__version__ = "0.2.0"
