"""The pipeline in Prefect, and both orchestrators side by side: every concept checked on each, on the same data."""
