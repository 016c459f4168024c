"""The pipeline in Prefect 3: the same months, functions and statements as the DAGs, in Prefect's own idioms."""
