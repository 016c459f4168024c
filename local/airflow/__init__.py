"""Airflow on one machine, beside the embedded cloud: its environment, its processes, and the demo."""
