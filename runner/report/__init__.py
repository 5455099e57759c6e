"""The report: everything there is to see about a month, as one HTML file or a picture."""
