"""The embedded cloud: GCS, BigQuery, Postgres and the trip-data source as processes on this machine.

It has its own environment (``local/cloud/.venv``) because the emulators' pins conflict with Airflow's. The modules
``settings``, ``system`` and ``processes`` depend only on psutil, so that Airflow's environment can import them too.
"""
