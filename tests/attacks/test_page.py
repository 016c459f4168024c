"""The page about security names every promise and every test that attacks it, and there are enough of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.attacks.page import PAGE, REPOSITORY, attacks, page
from tests.attacks.promises import PROMISES, attack


def test_tables_are_up_to_date() -> None:
    text = PAGE.read_text()
    assert text == page(text), "run: .venv/bin/python -m tests.attacks.page"


def test_every_threat_is_on_the_page_with_what_is_left_to_the_operator() -> None:
    sections = re.split(r"(?m)^## ", PAGE.read_text())
    tables = [re.findall(r"<!-- promises: ([a-z-]+) -->", section) for section in sections]
    assert [threat for table in tables for threat in table] == list(PROMISES)
    for section, table in zip(sections, tables, strict=True):
        if table:
            assert len(table) == 1
            assert {"**Threat.**", "**Left to you.**"} <= set(re.findall(r"\*\*[\w ]+\.\*\*", section)), section[:40]


def test_every_promise_is_attacked() -> None:
    found = attacks()
    assert set(found) == {name for promises in PROMISES.values() for name in promises}


def test_unknown_promise_is_refused() -> None:
    with pytest.raises(KeyError):
        attack("everything-is-fine")


def test_suite_has_its_size() -> None:
    words = ["-m", "pytest", "tests/attacks", "--collect-only", "-q", "-p", "no:cacheprovider"]
    env = {**os.environ, "PYTEST_ADDOPTS": ""}  # of this run; another verbosity would print no ids
    result = subprocess.run(
        [sys.executable, *words], cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False
    )
    cases = [line for line in result.stdout.splitlines() if "::" in line]
    assert len(cases) == len(set(cases)) >= 80, result.stdout[-2000:]
