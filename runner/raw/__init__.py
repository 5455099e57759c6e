"""The raw tables: CSV files, loading, and the demo's data."""
