"""Everything on one machine: the embedded cloud, and Airflow beside it."""
