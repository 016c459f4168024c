"""Checks each concept on a running Prefect server and worker, in Prefect's environment.

``python -m comparison.checks.prefect CONCEPT ...``. The modules are named after the groups of the concepts. Every
module here may declare checks; all are imported before the checks run.
"""
