"""The report: plots, tables and the page."""
