"""The pipeline in Prefect, and a comparison that checks every concept on both orchestrators with the same data."""
