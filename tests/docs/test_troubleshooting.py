"""Every message that docs/troubleshooting.md quotes is one that the code prints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs/troubleshooting.md"
# Where our own messages are, and the modules of Airflow whose messages the page quotes.
OURS = [
    *(REPOSITORY / "plugins").rglob("*.py"),
    *(REPOSITORY / "local").glob("*/*.py"),
    REPOSITORY / "tests/browser.py",
]
OURS += [*(REPOSITORY / "local/cloud").glob("*/*.py")]
AIRFLOWS = (
    "airflow.models.backfill",
    "airflow.exceptions",
    "airflow.timetables.trigger",
    "airflow.utils.cli",
    "airflow.jobs.scheduler_job_runner",
    "airflow.api_fastapi.auth.managers.simple.services.login",
    "airflow.providers.common.sql.operators.sql",
)
# A value that differs, in the page and in what is read from the code.
VALUE = "..."
SHORTEST = 10


def messages(page: str) -> list[str]:
    """What the first column of the page's tables quotes, but for the names of tasks beside it."""
    firsts = [row.partition(" | ")[0] for row in re.findall(r"(?m)^\| (`.+) \|$", page)]
    return [text for first in firsts for text in re.findall(r"`([^`]+)`", first) if " " in text]


def texts(code: str) -> Iterator[str]:
    """Every text of a module, as a pattern: what is computed is ``VALUE``, white space is one blank."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp) and (text := _text(node)).strip(". "):
            # Log messages have their values as %s.
            yield " ".join(re.sub(r"%[sdr]", VALUE, text).split())


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else VALUE for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    return VALUE


def is_printed(message: str, found: str) -> bool:
    """Whether one line of the texts has all parts of the message in their order, and the error's class exists."""
    error, colon, rest = message.partition(": ")
    named = bool(colon) and re.fullmatch(r"[A-Za-z]+Error", error) is not None
    parts = [part.strip() for part in (rest if named else message).split(VALUE) if part.strip(" .;:,()")]
    pattern = re.compile(".*".join(map(re.escape, parts)))
    assert sum(map(len, parts)) >= SHORTEST, f"{message!r} says too little to be found"
    return pattern.search(found) is not None and (not named or error in error_classes())


@cache
def known_texts() -> str:
    """All texts, one a line."""
    origins = [spec.origin for name in AIRFLOWS if (spec := find_spec(name)) and spec.origin]
    assert len(origins) == len(AIRFLOWS)
    found = [text for path in [*OURS, *map(Path, origins)] for text in texts(path.read_text(encoding="utf-8"))]
    # Messages of commands in the Makefile.
    return "\n".join([*found, (REPOSITORY / "Makefile").read_text()])


@cache
def error_classes() -> frozenset[str]:
    trees = [ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for path in OURS]
    return frozenset(node.name for tree in trees for node in tree if isinstance(node, ast.ClassDef))


MESSAGES = messages(PAGE.read_text())


def test_the_page_has_messages_each_with_a_cause_and_what_to_do() -> None:
    assert len(MESSAGES) > 40
    assert len(set(MESSAGES)) == len(MESSAGES)
    rows = re.findall(r"(?m)^\| `.+\|$", PAGE.read_text())
    assert [row for row in rows if len(re.split(r"(?<!\\) \| ", row)) != 3] == []


@pytest.mark.parametrize("message", MESSAGES)
def test_the_code_prints_it(message: str) -> None:
    assert is_printed(message, known_texts()), f"no code prints {message!r}; correct docs/troubleshooting.md"


CODE = """
class FullError(Exception): ...
def f(name, n):
    raise FullError(f"cannot write {name}: {n:,} bytes "
                    "are free" + (f"; did you mean {n}?" if n else "."))
log.warning("%s was sent to %s", 1, 2)
"""


@pytest.mark.parametrize(
    ("message", "printed"),
    [
        ("cannot write ...: ... bytes are free", True),
        ("cannot write ...: ... bytes are gone", False),
        ("bytes are free ... cannot write", False),
        ("... was sent to ...", True),
        ("NoError: cannot write ...: ... bytes are free", False),
    ],
)
def test_a_message_that_is_not_printed_is_found(message: str, printed: bool) -> None:
    assert is_printed(message, "\n".join(texts(CODE))) is printed
