"""Runs every BigQuery and GCS operator of the Google provider as the local stack would, and records who is called.

A program of its own, because what it looks at is done once for a process. Its input is JSON: the settings folder, and
the names of what is in the emulators. Its output is one line of JSON.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import MagicMock

GIVEN = json.load(sys.stdin)
SECONDS = 30
"""Time that one operator may take."""
RESOURCE = {"tableReference": {"datasetId": GIVEN["dataset"], "tableId": "t"}, "description": "d"}
VALUES: dict[str, Any] = {
    **dict.fromkeys(("bucket", "bucket_name", "source_bucket", "destination_bucket", "gcs_bucket"), GIVEN["bucket"]),
    **dict.fromkeys(("object_name", "object", "source_object", "src_object", "prefix"), GIVEN["object"]),
    **dict.fromkeys(("source_gcp_conn_id", "destination_gcp_conn_id"), "google_cloud_default"),
    **dict.fromkeys(("deletion_dataset_table", "table", "source_project_dataset_table"), f"{GIVEN['dataset']}.t"),
    **dict.fromkeys(("source_project_dataset_tables", "destination_project_dataset_table"), f"{GIVEN['dataset']}.t"),
    **dict.fromkeys(("dataset_id", "source_prefix", "destination_prefix"), GIVEN["dataset"]),
    **dict.fromkeys(("project_id", "source_project_id"), GIVEN["project"]),
    "table_id": "t",
    "sql": f"SELECT COUNT(*) FROM {GIVEN['dataset']}.t",
    "pass_value": 1,
    "metrics_thresholds": {"COUNT(*)": 1.5},
    "column_mapping": {"a": {"min": {"equal_to": 1}}},
    "checks": {"rows": {"check_statement": "COUNT(*) = 1"}},
    "use_legacy_sql": False,
    "table_resource": RESOURCE,
    "dataset_resource": {"datasetReference": {"datasetId": GIVEN["dataset"]}, "description": "d"},
    "schema_fields_updates": [{"name": "a", "description": "d"}],
    "configuration": {"query": {"query": "SELECT 1", "useLegacySql": False}},
    "routine_id": "r",
    "routine_resource": {"routineReference": {"routineId": "r"}},
    "fields": ["description"],
    "transfer_config": {"display_name": "x"},
    **dict.fromkeys(("transfer_config_id", "run_id", "partition_id", "spreadsheet_id"), "v1"),
    **dict.fromkeys(("folder_id", "file_name", "filename", "dst", "target_table_name"), "x"),
    "api_version": "v3",
    "entity": "allUsers",
    "member": "allUsers",
    "role": "READER",
    "transform_script": ["true"],
    "destination_cloud_storage_uris": [f"gs://{GIVEN['bucket']}/out.csv"],
    "source_objects": [GIVEN["object"]],
    "objects": [GIVEN["object"]],
    "src": __file__,
    "destination_object": "copy.json",
    "resource": {"type": "json"},
    "selected_fields": "a",
}


HARMLESS: dict[str, dict[str, Any]] = {
    "BigQueryDeleteTableOperator": {"deletion_dataset_table": f"{GIVEN['dataset']}.gone"},
    "GCSDeleteBucketOperator": {"bucket_name": "no-such-bucket"},
    "GCSDeleteObjectsOperator": {"objects": ["gone"], "prefix": None},
    "BigQueryInsertJobOperator": {"durable": False},
    "GCSToGCSOperator": {"source_objects": None},
    "GCSToBigQueryOperator": {"destination_project_dataset_table": f"{GIVEN['dataset']}.loaded"},
}
"""Values for operators that would take away what the others use."""


class _Context(dict):  # type: ignore[type-arg]
    def __missing__(self, key: str) -> Any:
        return self.setdefault(key, MagicMock())


def main() -> None:
    """Print the result of each operator and of the further questions, and all addresses that anything called."""
    warnings.simplefilter("ignore")
    sys.path.insert(0, GIVEN["settings"])
    import airflow.settings  # noqa: F401  # loads airflow_local_settings

    called = _record()
    results = {cls.__name__: _outcome(lambda cls=cls: _run(cls)) for cls in _operators()}
    results |= {name: _outcome(ask) for name, ask in _questions().items()}
    print(json.dumps({"results": results, "called": sorted(called)}))


def _record() -> set[str]:
    """Record where sockets and gRPC's channels lead; what is not on this machine is refused here too."""
    import grpc
    import grpc.aio

    called: set[str] = set()

    def note(host: str) -> None:
        called.add(host)
        if host not in ("127.0.0.1", "localhost", "::1", ""):
            raise RuntimeError(f"{host} was called")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo" and arguments[0] is not None:
            note(arguments[0].decode() if isinstance(arguments[0], bytes) else str(arguments[0]))
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            note(str(arguments[1][0]))

    sys.addaudithook(hook)
    for cls in (grpc._channel.Channel, grpc.aio._channel.Channel):
        made = cls.__init__

        def init(self: Any, target: str, *args: Any, _made: Any = made, **kwargs: Any) -> None:
            note(str(target))
            _made(self, target, *args, **kwargs)

        cls.__init__ = init
    return called


def _operators() -> Iterator[type[Any]]:
    """Yield the operators, sensors and transfers of BigQuery and GCS; those of absent providers cannot be imported."""
    from airflow.sdk.bases.operator import BaseOperator

    for folder in ("operators", "sensors", "transfers"):
        package = importlib.import_module(f"airflow.providers.google.cloud.{folder}")
        for info in pkgutil.iter_modules(package.__path__):
            if "bigquery" not in info.name and "gcs" not in info.name:
                continue
            try:
                module = importlib.import_module(f"{package.__name__}.{info.name}")
            except Exception:
                continue
            for cls in list(vars(module).values()):
                if inspect.isclass(cls) and issubclass(cls, BaseOperator) and cls.__module__ == module.__name__:
                    yield cls


def _run(cls: type[Any]) -> object:
    from airflow.sdk.execution_time import macros

    inits = [one.__init__ for one in cls.__mro__ if "__init__" in vars(one)]
    names = {name for init in inits for name in inspect.signature(init).parameters}
    values = VALUES | HARMLESS.get(cls.__name__, {})
    operator = cls(task_id="run", **{name: values[name] for name in names & values.keys()})
    if cls.__name__ == "BigQueryIntervalCheckOperator":  # its statements are templates
        operator.render_template_fields({"ds": "2021-01-08", "macros": macros})
    return operator.poke(_Context()) if hasattr(operator, "poke") else operator.execute(_Context())


def _questions() -> dict[str, Callable[[], object]]:
    """Return what people ask hooks and clients, beside the operators."""
    import gcsfs
    import google.auth
    import pandas_gbq
    import requests
    from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
    from airflow.providers.google.cloud.hooks.gcs import GCSHook
    from google.cloud import bigquery_storage, storage_control_v2

    hook = BigQueryHook(use_legacy_sql=False, location="US")
    impersonating = BigQueryHook(impersonation_chain="somebody@p.iam.gserviceaccount.com")
    others = impersonating.get_client(project_id=GIVEN["project"])
    client = hook.get_client(project_id=GIVEN["project"])
    table = f"{GIVEN['project']}.{GIVEN['dataset']}.t"
    sql = f"SELECT a, b FROM {GIVEN['dataset']}.t"
    return {
        "get_client": lambda: hook.get_client().project,
        "get_first": lambda: hook.get_first(sql),
        "get_records": lambda: hook.get_records(sql),
        "get_df": lambda: hook.get_df(sql).values.tolist(),
        "list_rows": lambda: client.list_rows(table).to_dataframe().values.tolist(),
        "to_arrow": lambda: client.query(sql).to_arrow().to_pylist(),
        "pandas_gbq": lambda: pandas_gbq.read_gbq(sql, project_id=GIVEN["project"]).values.tolist(),
        "gcsfs": lambda: gcsfs.GCSFileSystem(token="anon").exists(f"{GIVEN['bucket']}/seed.json"),
        "wrong check": lambda: hook.get_first(f"SELECT a FROM {GIVEN['dataset']}.t WHERE a = 2"),
        "impersonation": lambda: [
            one.dataset_id for one in others.list_datasets() if one.dataset_id == GIVEN["dataset"]
        ],
        "storage read client": lambda: bigquery_storage.BigQueryReadClient(credentials=hook.get_credentials()),
        "storage control client": lambda: storage_control_v2.StorageControlClient(credentials=hook.get_credentials()),
        "storage control aio": lambda: storage_control_v2.StorageControlAsyncClient(credentials=hook.get_credentials()),
        "signed url": lambda: GCSHook().get_conn().bucket(GIVEN["bucket"]).blob("x").generate_signed_url(expiration=60),
        "default credentials": google.auth.default,
        "metadata server": lambda: requests.get("http://metadata.google.internal", timeout=5),
        "any api": lambda: requests.get("https://storage.googleapis.com", timeout=5),
    }


def _outcome(ask: Callable[[], object]) -> dict[str, str]:
    """Return what a call returned, or the error in which it ended; the clients' loops are ended by a signal."""

    def end(*_: object) -> None:
        raise TimeoutError(f"it took more than {SECONDS} s")

    signal.signal(signal.SIGALRM, end)
    signal.alarm(SECONDS)
    try:
        return {"value": repr(ask())[:500]}
    except BaseException as error:
        return {"error": type(error).__name__, "message": str(error)[-500:]}
    finally:
        signal.alarm(0)


if __name__ == "__main__":
    os.environ.pop("NO_PROXY", None)
    main()
