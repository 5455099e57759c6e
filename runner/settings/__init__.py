"""What may be set, and where: `.env`, variables of the environment, dbt vars and their limits."""
