"""The registry: datasets, their columns, checks and months."""
