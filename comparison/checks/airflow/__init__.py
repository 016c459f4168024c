"""Checks each concept on a running Airflow.

``python -m comparison.checks.airflow CONCEPT ...``. The modules are named after the groups of the concepts. Every
module here may declare checks; all are imported before the checks run.
"""
