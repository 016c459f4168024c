"""The warehouse: partitioned tables in BigQuery."""
