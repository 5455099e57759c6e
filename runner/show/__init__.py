"""The views of `funnel show`: rows, JSON, CSV and drawing."""
