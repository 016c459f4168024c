"""The yearly rollup: which datasets are complete for a year in the warehouse."""
