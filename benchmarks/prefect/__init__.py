"""The course's flows under Prefect, in an environment of their own."""
