"""Conversion of a published file to Parquet that matches the registry."""
