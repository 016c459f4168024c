"""The pipeline in Prefect 3: the DAGs' months, functions and statements, in Prefect's own idioms.

Each flow has deployments for a worker, in ``prefect.yaml``, and none is served: a worker reads the file anew for each
run, and its pool is where limits, queues and other machines are set. The comparison runs ``serve``, too.
"""
