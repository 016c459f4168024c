"""Refuses runs that the Airflow CLI would start with a wrong month or a misspelt parameter.

The API server checks the requests of the UI and of its clients; commands of the CLI do not pass it. Airflow itself
answers a wrong month with a JSON schema, and ignores an unknown parameter.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Any

# The options of each command that starts runs, by the fields of the request that does the same.
_COMMANDS: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {
    ("dags", "trigger"): {"conf": ("-c", "--conf"), "logical_date": ("-l", "--logical-date")},
    ("dags", "test"): {"conf": ("-c", "--conf")},
    ("backfill", "create"): {
        "dag_id": ("--dag-id",),
        "from_date": ("--from-date",),
        "to_date": ("--to-date",),
        "dag_run_conf": ("--dag-run-conf",),
    },
}


def check(arguments: list[str]) -> None:
    """Check what a command of the Airflow CLI says of the runs that it starts; other commands pass.

    Args:
        arguments: of the Airflow CLI.

    Raises:
        ParameterError: the conf is not JSON or no object, or has a key or value that its DAG does not take.
        MonthError: a month or year is wrong or missing, or no source can have it.
    """
    options = _COMMANDS.get(tuple(arguments[:2]))
    body = _body(options, arguments[2:]) if options else None
    if body is None:
        return
    from nyc_taxi.run_requests import rules

    now = datetime.now(UTC)
    if arguments[0] == "backfill":
        rules.check_backfill(body, now)
        return
    for dag_id in body["words"]:
        # A test, and a run with a date, have the date's month.
        if arguments[1] == "test" or body["logical_date"]:
            rules.check_conf(dag_id, body["conf"], now)
        else:
            rules.check_run(dag_id, {"conf": body["conf"]}, now)


def _body(options: dict[str, tuple[str, ...]], arguments: list[str]) -> dict[str, Any] | None:
    """Return what a command says, as a request would; None if Airflow's own parser has to refuse it."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    for name, flags in options.items():
        parser.add_argument(*flags, dest=name)
    try:
        given, words = parser.parse_known_args(arguments)
    except argparse.ArgumentError:
        return None
    body = {**vars(given), "words": words}
    for name in ("conf", "dag_run_conf"):
        if body.get(name):
            body[name] = _conf(body[name])
    return body


def _conf(text: str) -> dict[str, Any]:
    from nyc_taxi.dag_parts.params import ParameterError

    try:
        conf = json.loads(text)
    except ValueError:
        conf = None
    if not isinstance(conf, dict):
        raise ParameterError(
            f"""the conf {text[:60]!r} is not a JSON object; write for example '{{"month": "2021-01"}}'"""
        )
    return conf
