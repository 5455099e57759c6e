"""All that touches dbt: running it, its packages, its results."""
