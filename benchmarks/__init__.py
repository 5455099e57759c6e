"""What takes how long, measured side by side."""
