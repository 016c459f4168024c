"""From a published file to Parquet that follows the registry."""
