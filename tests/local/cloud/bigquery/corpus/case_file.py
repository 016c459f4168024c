"""Reads the corpus: a YAML file is a case, a folder of ``cases`` an area. README.md explains the format."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

CASES = Path(__file__).parent / "cases"
DOCUMENTATION = "https://cloud.google.com/bigquery/docs/"
REFERENCE = "https://github.com/google/googlesql/blob/master/googlesql/"
"""Google's own tests and source of GoogleSQL, which say what the documentation leaves out."""
RECORDING = "recorded: "
"""Starts the source of a case whose answer bqemulator's authors recorded from the real BigQuery."""


class _Loader(yaml.SafeLoader):
    """Reads dates and times as text, as a newcomer expects them, and ``1e3`` as a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?\d+\Z"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.\d*(e[-+]?\d+)?|\d+e[-+]?\d+|\.inf)\Z|\.nan\Z"),
    list("-+.0123456789"),
)

_OTHER_MESSAGES = ("", "x", "7", "Job 7 of x has failed: the disk is full, or another y of it.")
"""Messages of errors that no case is about: what matches them says nothing about an error."""
COLUMNS = "columns"
"""The way of asking in which values are columns of a table."""
COMPUTED = "computed: "
"""Starts the source of a case whose answer a function of ``taxi.py`` computes, which it names."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A query and BigQuery's answer to it.

    Attributes:
        id: the area and the name, such as ``weeks/trunc_monday``.
        source: the page of BigQuery's documentation, or the recording, that says so.
        note: what the case shows, if its name does not say it.
        query: the statement; see ``ways``. ``{dataset}`` stands for the case's own dataset, ``{taxi}`` for the one
            with the trips.
        values: SQL expressions by name, which stand in the query as ``{name}``.
        setup: statements that run before.
        parameters: query parameters by name, or in order: each a type and a value.
        options: further fields of the request.
        columns: types of the answer's columns by name.
        rows: the answer.
        affected: number of rows that the DML statement inserts, updates or deletes.
        bytes: number of bytes that a dry run of the query reports.
        error: a regular expression that the message of the error matches.
        then: a query after ``query``, whose answer ``columns`` and ``rows`` are instead.
    """

    id: str
    source: str
    query: str
    note: str = ""
    values: Mapping[str, Any] | None = None
    setup: Sequence[str] = ()
    parameters: Mapping[str, Any] | Sequence[Any] | None = None
    options: Mapping[str, Any] | None = None
    columns: Mapping[str, str] | None = None
    rows: Sequence[Sequence[Any]] | None = None
    affected: int | None = None
    bytes: int | None = None
    error: str | None = None
    then: str | None = None

    @property
    def computed(self) -> str | None:
        """The name of the function that computes the answer, if one does."""
        return self.source.removeprefix(COMPUTED) if self.source.startswith(COMPUTED) else None

    @property
    def needs_dataset(self) -> bool:
        """Whether it can only be asked in a dataset, even without a table of values."""
        return bool(self.setup) or "{dataset}" in self.query or not self.only_reads

    @property
    def only_reads(self) -> bool:
        return self.query.startswith(("SELECT", "WITH")) and self.then is None

    @property
    def area(self) -> str:
        return self.id.partition("/")[0]

    @property
    def ways(self) -> dict[str, str]:
        """The query by the way it is asked: with values as literals, and as columns of a table."""
        if self.values is None:
            return {"as it stands": self.query}
        literals, columns = self.query, self.query
        for name, value in self.values.items():
            literals = literals.replace(f"{{{name}}}", str(value))
            columns = columns.replace(f"{{{name}}}", name)
        return {"literals": literals, COLUMNS: f"{columns}\nFROM {self._given}"}

    @property
    def create_given(self) -> str:
        """The statement that creates the table of the values."""
        values = ", ".join(f"{value} AS {name}" for name, value in (self.values or {}).items())
        return f"CREATE TABLE {self._given} AS SELECT {values}"

    @property
    def _given(self) -> str:
        return f"given_{zlib.crc32(str(self.values).encode()):08x}"


def cases() -> list[Case]:
    """Return all cases, by area and name."""
    return [_read(path) for path in sorted(CASES.glob("*/*.yaml"))]


def _read(path: Path) -> Case:
    given = yaml.load(path.read_text(), _Loader)
    name = path.relative_to(CASES).with_suffix("").as_posix()
    unknown = set(given) - {field.name for field in fields(Case)}
    if unknown:
        raise ValueError(f"{name}: unknown keys {', '.join(sorted(unknown))}; README.md lists the known ones")
    case = Case(id=name, **given)
    if not {"rows", "error", "bytes", "affected"} & set(given) and not case.computed:
        raise ValueError(f"{name}: says no answer: neither rows, error, bytes nor affected")
    if case.rows is not None and case.columns is None:
        raise ValueError(f"{name}: has rows without columns")
    check_error(name, case.error)
    return case


def check_error(name: str, pattern: str | None) -> None:
    """Check that the pattern of an error does not match the errors of other mistakes too.

    Raises:
        ValueError: it does, as ``.`` and ``.*`` do.
    """
    if pattern is not None and any(re.search(pattern, message, re.IGNORECASE) for message in _OTHER_MESSAGES):
        raise ValueError(f"{name}: its error {pattern!r} matches any error; write the words that name what is wrong")
