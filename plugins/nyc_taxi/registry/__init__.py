"""What the pipeline moves: datasets, their columns, checks and months."""
