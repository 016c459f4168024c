"""Asks the embedded BigQuery a case's query, and judges the answer: right, refused or wrong."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery

from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.corpus import answers
from tests.local.cloud.bigquery.corpus.case_file import COLUMNS, Case
from tests.local.cloud.bigquery.corpus.taxi import compute
from tests.local.cloud.bigquery.corpus.taxi_data import DATASET as TAXI_DATASET
from tests.local.cloud.bigquery.corpus.taxi_data import LAKE, Taxi, load_taxi
from tests.local.cloud.bigquery.corpus.verdicts import REFUSED, RIGHT, WRONG

_LIMIT = "the embedded BigQuery does not"
_BAD_REQUEST = 400
_OWN_WORDS = re.compile(
    r"\b[A-Z][A-Za-z ]+ Error:|\bLINE \d+:|\bDid you mean:? \"|\bCandidate|\.py\b|"
    r"does not word this error|Python exception|(?i:duckdb|sqlglot|\bbqemu|\bbq_|prepared statement)|"
    r"\b(VARCHAR|BIGINT|HUGEINT|UBIGINT|INT32|INT128|DOUBLE|BLOB|\w+_LITERAL)\b"
)
"""Words of the layers below the emulator: BigQuery has no such messages."""
_CODES = (_BAD_REQUEST, 404, 409)
"""HTTP codes of errors that are the query's: it is wrong, or what it names is missing or exists."""
_THREADS = 4
_MILLISECONDS = 200_000
"""How long a request waits for the answer, rather than say that the job is not done."""


@dataclass(frozen=True)
class Outcome:
    """How the answer to a case, or to one way of asking it, is judged."""

    verdict: str
    reason: str = ""


class Refused(Exception):
    """The emulator names a limit of its own."""


class Wrong(Exception):
    """The answer is another than BigQuery's."""


class Judge:
    """Asks cases of a running server.

    The taxi data is loaded when the first case needs it.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._client = server.client()
        self._lock = Lock()
        self._sessions: dict[tuple[str, ...], _Session] = {}

    def judge_all(self, cases: Iterable[Case]) -> dict[str, Outcome]:
        """Ask several cases, some at the same time, and return the outcomes by id."""
        with ThreadPoolExecutor(_THREADS) as pool:
            asked = {case.id: pool.submit(self.judge, case) for case in cases}
        return {case: future.result() for case, future in asked.items()}

    def judge(self, case: Case) -> Outcome:
        """Ask a case in all its ways, and return the worst outcome."""
        worst = Outcome(RIGHT)
        for way, query in case.ways.items():
            try:
                self._ask(case, way, query)
            except Refused as refusal:
                worst = Outcome(REFUSED, f"{way}: {refusal}") if worst.verdict == RIGHT else worst
            except Wrong as difference:
                return Outcome(WRONG, f"{way}: {difference}\n{query}")
        return worst

    def _ask(self, case: Case, way: str, query: str) -> None:
        rows = case.rows
        if any(name in "".join([query, *case.setup]) for name in ("{taxi}", "{lake}")):
            taxi = self._taxi
            rows = compute(case.computed, taxi) if case.computed else rows
        session = self._session(case, way)
        answer = _answer(session, case, query)
        if case.columns is not None:
            found = answers.columns(answer.get("schema", {}))
            if list(case.columns.items()) != list(found.items()):
                raise Wrong(f"columns: expected {dict(case.columns)}, found {found}")
        if rows is not None:
            _compare_rows(rows, _rows(answer), case.columns or {})

    def _session(self, case: Case, way: str) -> _Session:
        """Return a session with the case's tables; cases that only read share those of the same set-up."""
        if way != COLUMNS and not case.needs_dataset:
            return _Session(self._client, None)
        if not case.only_reads:
            return self._prepared(case.setup)
        with self._lock:
            session = self._sessions.get(tuple(case.setup)) or self._prepared(case.setup)
            self._sessions[tuple(case.setup)] = session
            if way == COLUMNS:
                session.run_once(case.create_given)
        return session

    def _prepared(self, setup: Sequence[str]) -> _Session:
        dataset = f"corpus_{uuid.uuid4().hex}"
        self._client.create_dataset(dataset)
        session = _Session(self._client, dataset)
        for statement in setup:
            session.run(statement, purpose="the set-up")
        return session

    @property
    def _taxi(self) -> Taxi:
        with self._lock:
            return self._loaded_taxi

    @cached_property
    def _loaded_taxi(self) -> Taxi:
        return load_taxi(self._server)


def _answer(session: _Session, case: Case, query: str) -> dict[str, Any]:
    """Ask the query, and return the answer that has the rows: of the query, or of the one after it."""
    answer: dict[str, Any] = {}
    options = {**(case.options or {}), **({"dryRun": True} if case.bytes is not None else {})}
    if case.error is None:
        answer = session.run(query, options=options, parameters=case.parameters)
        _compare("affected rows", case.affected, answer.get("numDmlAffectedRows"), int)
        _compare("bytes", case.bytes, answer.get("totalBytesProcessed"), int)
    else:
        session.must_fail(query, case.error, options=options, parameters=case.parameters)
    return session.run(case.then, purpose="the query after it") if case.then is not None else answer


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
    """Sends statements, with ``dataset``, if there is one, as their default dataset."""

    def __init__(self, client: bigquery.Client, dataset: str | None) -> None:
        self._client = client
        self._dataset = dataset
        self._done: set[str] = set()

    def run_once(self, statement: str) -> None:
        """Run a statement of the set-up, unless it was run."""
        if statement not in self._done:
            self.run(statement, purpose="the set-up")
            self._done.add(statement)

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
            raise _judged(error, query, purpose) from error

    def must_fail(self, query: str, pattern: str, *, options: Mapping[str, Any] | None, parameters: Any) -> None:
        """Run a statement that must fail with a message that matches ``pattern``."""
        try:
            answer = self._send(query, options, parameters)
        except GoogleAPICallError as error:
            if _LIMIT in error.message or own_words(error.message, query):
                raise _judged(error, query) from error
            if error.code not in _CODES or not re.search(pattern, error.message, re.IGNORECASE):
                raise Wrong(f"expected an error {pattern!r}, found {error.code} {error.message}") from error
        else:
            raise Wrong(f"expected an error {pattern!r}, found {_rows(answer)}")

    def _send(self, query: str, options: Mapping[str, Any] | None, parameters: Any) -> dict[str, Any]:
        wait = {"timeoutMs": _MILLISECONDS, "formatOptions": {"useInt64Timestamp": True}}
        body: dict[str, Any] = {"useLegacySql": False, **wait, **(options or {})}
        body["query"] = query.replace("{dataset}", self._dataset or "")
        body["query"] = body["query"].replace("{taxi}", TAXI_DATASET).replace("{lake}", LAKE)
        if self._dataset and not _is_script(body["query"]):
            body["defaultDataset"] = {"projectId": self._client.project, "datasetId": self._dataset}
        if parameters:
            body["parameterMode"] = "NAMED" if isinstance(parameters, Mapping) else "POSITIONAL"
            body["queryParameters"] = [one.to_api_repr() for one in _parameters(parameters)]
        path = f"/projects/{self._client.project}/queries"
        return self._client._call_api(None, method="POST", path=path, data=body)


def _is_script(sql: str) -> bool:
    """Whether there is a semicolon outside of literals; the emulator has no default dataset in scripts."""
    return ";" in re.sub(r"'[^']*'|\"[^\"]*\"", "", sql)


def _rows(answer: Mapping[str, Any]) -> list[list[Any]]:
    try:
        return answers.rows(answer)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise Wrong(f"the rows do not fit their schema: {answer.get('schema')} {answer.get('rows')}") from error


def own_words(message: str, query: str) -> str | None:
    """Return words of the layers below the emulator, DuckDB and sqlglot, in a message; None if there are none.

    Words that the query itself has may be in the message.
    """
    found = (match[0] for match in _OWN_WORDS.finditer(message))
    return next((words for words in found if words.lower() not in query.lower()), None)


def _judged(error: GoogleAPICallError, query: str, purpose: str = "") -> Refused | Wrong:
    place = f"{purpose}: " if purpose else ""
    if words := own_words(error.message, query):
        return Wrong(f"{place}its own words {words!r} in {error.message}")
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
    members = re.fullmatch(r"STRUCT<(.*)>", kind)
    if members:
        fields = [member.split(" ") for member in members[1].split(", ")]
        return bigquery.StructQueryParameter(name, *(_parameter(field, one, value[field]) for field, one in fields))
    return bigquery.ScalarQueryParameter(name, kind, value.encode() if kind == "BYTES" else value)
