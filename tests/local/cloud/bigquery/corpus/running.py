"""Asks the embedded BigQuery a case's query, and judges the answer: right, refused or wrong."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery

from tests.local.cloud.bigquery.corpus import answers
from tests.local.cloud.bigquery.corpus.case_file import Case

RIGHT, REFUSED, WRONG = "right", "refused", "wrong"
_LIMIT = "the embedded BigQuery does not"
_BAD_REQUEST, _NOT_FOUND = 400, 404
_THREADS = 4


@dataclass(frozen=True)
class Outcome:
    """How the answer to a case, or to one way of asking it, is judged."""

    verdict: str
    reason: str = ""


class Refused(Exception):
    """The emulator names a limit of its own."""


class Wrong(Exception):
    """The answer is another than BigQuery's."""


def judge_all(client: bigquery.Client, cases: Iterable[Case]) -> dict[str, Outcome]:
    """Ask several cases, some at the same time, and return the outcomes by id."""
    with ThreadPoolExecutor(_THREADS) as pool:
        asked = {case.id: pool.submit(judge, client, case) for case in cases}
    return {case: future.result() for case, future in asked.items()}


def judge(client: bigquery.Client, case: Case) -> Outcome:
    """Ask a case in all its ways, each in a dataset of its own, and return the worst outcome."""
    worst = Outcome(RIGHT)
    for way, query in case.ways.items():
        try:
            _ask(client, case, query, [] if way == "literals" else case.statements)
        except Refused as refusal:
            worst = Outcome(REFUSED, f"{way}: {refusal}") if worst.verdict == RIGHT else worst
        except Wrong as difference:
            return Outcome(WRONG, f"{way}: {difference}\n{query}")
    return worst


def _ask(client: bigquery.Client, case: Case, query: str, statements: Sequence[str]) -> None:
    session = _Session(client, needs_dataset=bool(statements) or "{dataset}" in query)
    for statement in statements:
        session.run(statement, purpose="the set-up")
    options = {**(case.options or {}), **({"dryRun": True} if case.bytes is not None else {})}
    if case.error is None:
        answer = session.run(query, options=options, parameters=case.parameters)
        _compare("affected rows", case.affected, answer.get("numDmlAffectedRows"), int)
        _compare("bytes", case.bytes, answer.get("totalBytesProcessed"), int)
    else:
        session.must_fail(query, case.error, options=options, parameters=case.parameters)
        answer = {}
    if case.then is not None:
        answer = session.run(case.then, purpose="the query after it")
    if case.columns is not None:
        found = answers.columns(answer.get("schema", {}))
        if list(case.columns.items()) != list(found.items()):
            raise Wrong(f"columns: expected {dict(case.columns)}, found {found}")
    if case.rows is not None:
        _compare_rows(case.rows, answers.rows(answer), case.columns or {})


def _compare(what: str, expected: Any, found: Any, kind: type) -> None:
    if expected is not None and (found is None or kind(found) != expected):
        raise Wrong(f"{what}: expected {expected}, found {found}")


def _compare_rows(expected: Sequence[Sequence[Any]], found: list[list[Any]], columns: Mapping[str, str]) -> None:
    """Compare rows; a number of type NUMERIC is written with or without quotes in a case."""
    decimal = [kind in ("NUMERIC", "BIGNUMERIC") for kind in columns.values()]
    plain = [
        [
            str(value) if is_decimal and value is not None else value
            for value, is_decimal in zip(row, decimal, strict=True)
        ]
        for row in expected
    ]
    if not answers.is_same(plain, found):
        raise Wrong(f"rows: expected {plain}, found {found}")


class _Session:
    """Sends statements to one dataset, which exists if a statement needs it."""

    def __init__(self, client: bigquery.Client, *, needs_dataset: bool) -> None:
        self._client = client
        self._dataset = f"corpus_{uuid.uuid4().hex}" if needs_dataset else None
        if self._dataset:
            client.create_dataset(self._dataset)

    def run(
        self, query: str, *, purpose: str = "", options: Mapping[str, Any] | None = None, parameters: Any = None
    ) -> dict[str, Any]:
        """Run a statement and return its answer.

        Raises:
            Refused: the emulator names a limit of its own.
            Wrong: there is another error.
        """
        try:
            return self._send(query, options, parameters)
        except GoogleAPICallError as error:
            raise _judged(error, purpose) from error

    def must_fail(self, query: str, pattern: str, *, options: Mapping[str, Any] | None, parameters: Any) -> None:
        """Run a statement that must fail with a message that matches ``pattern``."""
        try:
            answer = self._send(query, options, parameters)
        except GoogleAPICallError as error:
            if _LIMIT in error.message:
                raise _judged(error, "") from error
            if error.code not in (_BAD_REQUEST, _NOT_FOUND) or not re.search(pattern, error.message, re.IGNORECASE):
                raise Wrong(f"expected an error {pattern!r}, found {error.code} {error.message}") from error
        else:
            raise Wrong(f"expected an error {pattern!r}, found {answers.rows(answer)}")

    def _send(self, query: str, options: Mapping[str, Any] | None, parameters: Any) -> dict[str, Any]:
        body: dict[str, Any] = {"useLegacySql": False, "formatOptions": {"useInt64Timestamp": True}, **(options or {})}
        body["query"] = query.replace("{dataset}", self._dataset or "")
        if self._dataset and ";" not in body["query"].strip().rstrip(";"):
            body["defaultDataset"] = {"projectId": self._client.project, "datasetId": self._dataset}
        if parameters:
            body["parameterMode"] = "NAMED" if isinstance(parameters, Mapping) else "POSITIONAL"
            body["queryParameters"] = [one.to_api_repr() for one in _parameters(parameters)]
        path = f"/projects/{self._client.project}/queries"
        return self._client._call_api(None, method="POST", path=path, data=body)


def _judged(error: GoogleAPICallError, purpose: str) -> Refused | Wrong:
    place = f"{purpose}: " if purpose else ""
    if error.code == _BAD_REQUEST and _LIMIT in error.message:
        return Refused(place + error.message)
    return Wrong(f"{place}{error.code} {error.message}")


def _parameters(given: Mapping[str, Any] | Sequence[Any]) -> list[Any]:
    named = given.items() if isinstance(given, Mapping) else [(None, one) for one in given]
    return [_parameter(name, kind, value) for name, (kind, value) in named]


def _parameter(name: str | None, kind: str, value: Any) -> Any:
    element = re.fullmatch(r"ARRAY<(\w+)>", kind)
    if element:
        return bigquery.ArrayQueryParameter(name, element[1], value)
    return bigquery.ScalarQueryParameter(name, kind, value)
