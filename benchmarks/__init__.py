"""Benchmarks: what the pipeline does, each against its baseline, in the same run. ``make bench`` runs them."""
