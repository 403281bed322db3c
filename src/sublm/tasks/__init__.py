"""Tasks: data, encoding, metrics."""
