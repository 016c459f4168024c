"""A source that is not honest: column names, values, file names and headers with code in them.

Damaged and huge files are in ``test_files.py``, redirects and broken transfers with the download's own tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from nyc_taxi.parquet import provenance as provenances
from nyc_taxi.registry.datasets import GREEN
from nyc_taxi.registry.model import ContractError
from nyc_taxi.stores.postgres.store import Comment
from tests.attacks.promises import attack
from tests.dags import rendering
from tests.nyc_taxi.support import GREEN_ROW, ZONES_HEADER, Folder, green_table, zone

CODE = {
    "SQL that ends a literal": "x'; DROP TABLE green_trips; --",
    "SQL that ends an identifier": 'x"; DROP TABLE green_trips; --',
    "SQL that ends a block": "$publish$; DROP TABLE green_trips; $publish$",
    "backtick": "x`; DROP TABLE trips.green; --",
    "Jinja expression": "{{ conn.ny_taxi.password }}",
    "Jinja statement": "{% include '/etc/passwd' %}",
    "Python format": "{0.__class__} %(x)s %s",
    "path": "../../../../etc/passwd",
    "formula": "=cmd|' /C calc'!A0",
    "markup": "<script>alert(1)</script>",
    "mention": "<!channel> <https://evil.example|click>",
    "backslashes": "\\'; DROP TABLE green_trips; --\\",
}
CONTROL = {
    "clears the terminal": "\x1b[2Jx",
    "sets the title": "\x1b]0;pwned\x07",
    "C1 control": "\x9b2Jx",
    "carriage return": "ERROR\rINFO all is well",
    "backspaces": "evil\b\b\b\bgood",
    "line separator": "x\u2028INFO all is well",
    "right-to-left override": "x\u202egnp.exe",
    "zero width": "x\u200by",
}
HUGE = {"a million characters": "x" * 1_000_000}


def named(cases: dict[str, str]) -> Any:
    return pytest.mark.parametrize("text", cases.values(), ids=list(cases))


def csv_with_column(folder: Folder, name: str) -> object:
    quoted = name.replace('"', '""')
    return folder.zones(f'{ZONES_HEADER.strip()},"{quoted}"\n1,a,b,c,d\n')


def parquet_with_column(folder: Folder, name: str) -> object:
    return folder.parquet(green_table(**{name: pa.array([1, 2, 3])}))


@attack("files-are-data")
@named(CODE | CONTROL | HUGE)
@pytest.mark.parametrize("convert", [csv_with_column, parquet_with_column])
def test_column_name_is_refused_in_a_short_printable_message(
    folder: Folder, convert: Callable[[Folder, str], object], text: str
) -> None:
    with pytest.raises(ContractError) as error:
        convert(folder, text)
    message = str(error.value)
    assert message.isprintable(), ascii(message)
    assert len(message) < 1000
    assert folder.left() == []


@attack("files-are-data")
@named(CODE | CONTROL | HUGE)
def test_column_that_is_left_out_leaves_no_trace_in_the_file(folder: Folder, text: str) -> None:
    converted = folder.parquet(green_table(**{text: pa.array([1, 2, 3])}), accept_unknown=True)
    assert converted.rows == 3
    assert pq.read_schema(folder.target).names == [column.name for column in GREEN.columns]
    assert text[:40].encode() not in folder.target.read_bytes()


@attack("files-are-data")
@named({name: text for name, text in (CODE | CONTROL).items() if "\r" not in text})
def test_text_is_kept_as_it_is(folder: Folder, text: str) -> None:
    quoted = text.replace('"', '""')
    folder.zones(f'{ZONES_HEADER}1,"{quoted}",b,c\n')
    assert folder.rows() == [zone(1, text, "b", "c")]


@attack("files-are-data")
@named(CODE | CONTROL)
def test_text_in_a_number_column_is_refused_in_a_printable_message(folder: Folder, text: str) -> None:
    with pytest.raises(ContractError) as error:
        folder.green({**GREEN_ROW, "fare_amount": text})
    assert str(error.value).isprintable(), ascii(str(error.value))
    assert len(str(error.value)) < 1000


VERSIONS = {name: f'etag="{text}" length=1' for name, text in CODE.items()}


@attack("headers-are-data")
@named(VERSIONS)
@pytest.mark.parametrize("step", ["web_to_gcs", "web_to_postgres"])
def test_version_of_the_source_is_a_value_in_every_template(
    bag: Any, monkeypatch: pytest.MonkeyPatch, step: str, text: str
) -> None:
    """The version appears where an ordinary one does, letter by letter, and nothing else changes."""
    dag = bag.dags[f"green_{step}"]
    ordinary = rendering.render(dag, partition_key="2021-01")
    monkeypatch.setattr(rendering, "VERSION", text)
    attacked = rendering.render(dag, partition_key="2021-01")
    placed = json.loads(json.dumps(attacked, default=str).replace(json.dumps(text)[1:-1], "VERSION"))
    expected = json.loads(
        json.dumps(ordinary, default=str).replace(json.dumps('etag="golden" length=1234')[1:-1], "VERSION")
    )
    assert placed == expected
    assert "VERSION" in json.dumps(expected)
    assert all(text not in str(fields.get("sql")) for fields in attacked.values())


@attack("headers-are-data")
@named({**CODE, "published before": "published from x", "a date": "published at 2999-01-01T00:00:00+00:00"})
def test_provenance_is_a_value_in_the_comment_of_the_table(text: str) -> None:
    """Quoted by the client as a literal; and it cannot pretend to be the line that publish writes."""
    made_from = provenances.provenance(GREEN, "green_tripdata_2021-01.csv.gz", text)
    literal = sql.Literal(made_from).as_string(None)
    inside = literal[literal.index("'") + 1 : -1]
    assert inside.replace("''", "").count("'") == 0
    comment = Comment.parse(f"published from staging.x\npublished at 2021-03-01T00:00:00+00:00\n{made_from}")
    assert comment.made_from == made_from
    assert comment.published_at is not None
    assert comment.published_at.year == 2021
