"""The warehouse: connection, lock, and what the raw tables must be."""
