"""Postgres: tables partitioned by month."""
