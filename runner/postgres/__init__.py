"""The embedded Postgres of the target `local`."""
