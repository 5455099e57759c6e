"""From a Pipedrive account to the raw tables."""
