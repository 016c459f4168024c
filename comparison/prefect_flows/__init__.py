"""The pipeline in Prefect 3: the DAGs' months, functions and statements, in Prefect's own idioms."""
