"""Benchmarks of the pipeline, each against its baseline in the same run. ``make bench`` runs them."""
