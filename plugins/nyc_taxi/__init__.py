"""What the DAGs import: the registry of datasets, the functions that do the work, and thin operators around them."""
