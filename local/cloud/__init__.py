"""The embedded cloud: GCS, BigQuery, Postgres and the trip-data source as processes on this machine.

It lives in an environment of its own (``local/cloud/.venv``), because the emulators' pins and Airflow's do not agree.
``settings`` and ``processes`` use the standard library alone, so that Airflow's environment can import them too.
"""
