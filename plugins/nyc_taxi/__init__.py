"""The package behind the DAGs: the dataset registry, the functions that do the work, and thin operators around them."""
