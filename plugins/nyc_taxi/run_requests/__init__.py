"""Requests to start a run, by the UI's form or the REST API: checked before Airflow makes the run."""
