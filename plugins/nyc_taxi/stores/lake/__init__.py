"""The lake: Parquet objects in GCS."""
