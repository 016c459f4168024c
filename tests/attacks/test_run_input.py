"""Whoever may start runs: parameters, partition keys and run ids with code, paths and nonsense in them."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError

from nyc_taxi.dag_parts.params import load_params, year_params
from nyc_taxi.registry.datasets import GREEN, published_file
from nyc_taxi.registry.months import MonthError, resolve_month, resolve_year
from tests.attacks.promises import attack
from tests.dags.rendering import render


@dataclass(frozen=True)
class Hostile:
    """A value with its name."""

    name: str
    value: Any


# What no month, year or partition key may be.
VALUES = [
    Hostile("SQL that ends a literal", "2021-01'; DROP TABLE green_trips; --"),
    Hostile("SQL that ends an identifier", '2021-01"; DROP TABLE green_trips; --'),
    Hostile("SQL after a month", "2021-01 OR 1=1"),
    Hostile("SQL comment", "2021-01/**/"),
    Hostile("Postgres dollar quote", "$create$"),
    Hostile("Jinja expression", "{{ 7 * 7 }}"),
    Hostile("Jinja that reads a connection", "{{ conn.ny_taxi.password }}"),
    Hostile("Jinja that runs a command", "{{ ''.__class__.__mro__[1].__subclasses__() }}"),
    Hostile("Jinja statement", "{% include '/etc/passwd' %}"),
    Hostile("Python format", "{0.__class__}"),
    Hostile("path upwards", "../../../../etc/passwd"),
    Hostile("path upwards after a month", "2021-01/../../x"),
    Hostile("absolute path", "/etc/passwd"),
    Hostile("encoded path", "%2e%2e%2f2021-01"),
    Hostile("URL", "http://evil.example/2021-01"),
    Hostile("shell command", "2021-01; touch /tmp/pwned"),
    Hostile("shell substitution", "$(touch /tmp/pwned)"),
    Hostile("line break after a month", "2021-01\n"),
    Hostile("header injection", "2021-01\r\nHost: evil.example"),
    Hostile("NUL", "2021-01\0"),
    Hostile("terminal sequence", "\x1b[2J2021-01"),
    Hostile("spaces", " 2021-01 "),
    Hostile("Arabic digits", "\u0662\u0660\u0662\u0661-\u0660\u0661"),
    Hostile("full-width digits", "\uff12\uff10\uff12\uff11-\uff10\uff11"),
    Hostile("full-width hyphen", "2021\uff0d01"),
    Hostile("right-to-left override", "2021-01\u202e"),
    Hostile("lone surrogate", "2021-0\ud800"),
    Hostile("emoji", "\U0001f695"),
    Hostile("a million characters", "2021-01" * 150_000),
    Hostile("month 13", "2021-13"),
    Hostile("month 0", "2021-00"),
    Hostile("five digits", "02021-01"),
    Hostile("negative", "-2021-01"),
    Hostile("exponent", "2e3-01"),
    Hostile("number", 202101),
    Hostile("float", float("inf")),
    Hostile("list", ["2021-01"]),
    Hostile("object", {"month": "2021-01"}),
    Hostile("true", True),
]
BY_NAME = pytest.mark.parametrize("hostile", VALUES, ids=lambda one: one.name)


def run(key: Any = None, **params: Any) -> dict[str, Any]:
    return {"dag_run": SimpleNamespace(partition_key=key, logical_date=None), "params": params}


@attack("a-month-is-a-month")
@BY_NAME
def test_parameter_is_refused_before_the_run_starts(hostile: Hostile) -> None:
    for params, name, resolve in (
        (load_params(GREEN), "month", resolve_month),
        (year_params(), "year", resolve_year),
    ):
        given = ParamsDict({**params, name: _with_value(params[name], hostile.value)})
        # To "$" in the schema, a line may also end before a line break: the task then refuses it.
        with pytest.raises((ParamValidationError, MonthError)):
            resolve(run(**given.validate()))


def _with_value(param: Any, value: Any) -> Any:
    changed = copy.deepcopy(param)
    changed.value = value
    return changed


@attack("a-month-is-a-month")
@BY_NAME
def test_partition_key_fails_the_run_in_one_line(hostile: Hostile) -> None:
    for resolve, name in ((resolve_month, "month"), (resolve_year, "year")):
        for context in (run(hostile.value), run(**{name: hostile.value})):
            with pytest.raises(MonthError) as error:
                resolve(context)
            assert re.search("is not a (month|year); write YYYY", str(error.value))
            assert str(error.value).isprintable()
            assert len(str(error.value)) < 1000


@attack("a-month-is-a-month")
@pytest.mark.parametrize("value", ["true", "True", 1, "{{ True }}", [], {"force": True}, "'; --"], ids=repr)
def test_force_is_a_boolean_and_nothing_else(value: Any) -> None:
    with pytest.raises(ParamValidationError):
        ParamsDict({"force": _with_value(load_params(GREEN)["force"], value)}).validate()


@attack("a-month-is-a-month")
@pytest.mark.parametrize("name", ["green'; --", "../green", "{{ 1 }}", "GREEN", "green\n", "", "__class__"], ids=repr)
def test_dataset_is_one_of_the_registry(name: str) -> None:
    with pytest.raises((ValueError, KeyError, RuntimeError)) as error:
        published_file(name, "2021-01")
    assert str(error.value).isprintable()


RUN_IDS = [
    Hostile("SQL", "x'; DROP TABLE green_trips; --"),
    Hostile("SQL identifier", 'x"; DROP TABLE green_trips; --'),
    Hostile("dollar quote", "$publish$; DROP TABLE green_trips; $publish$"),
    Hostile("regular expression", ".*"),
    Hostile("percent sign of a bound value", "%s%(x)s%"),
    Hostile("Jinja", "{{ conn.ny_taxi.password }}{% raw %}"),
    Hostile("path upwards", "../../../../etc"),
    Hostile("absolute path", "/etc/passwd"),
    Hostile("dot", "."),
    Hostile("encoded path", "%2e%2e%2f"),
    Hostile("backslashes", "..\\..\\x"),
    Hostile("NUL", "x\0y"),
    Hostile("line break", "x\n-- y"),
    Hostile("terminal sequence", "\x1b]0;pwned\x07"),
    Hostile("wildcards", "*?[a-z]"),
    Hostile("option", "--help"),
    Hostile("tilde", "~root"),
    Hostile("letters of four bytes", "\U00020000" * 250),
    Hostile("longest", "x" * 250),
    Hostile("bigquery decorator", "x$202101"),
]


@attack("run-ids-are-harmless")
@pytest.mark.parametrize("hostile", RUN_IDS, ids=lambda one: one.name)
@pytest.mark.parametrize("step", ["gcs_to_bigquery", "web_to_postgres"])
def test_run_id_changes_nothing_but_a_hash_and_a_folder(bag: Any, step: str, hostile: Hostile) -> None:
    """Every rendered statement, path and name is that of an ordinary run, but for the run's own hash and folder."""
    dag = bag.dags[f"green_{step}"]
    assert _rendered(dag, hostile.value) == _ordinary(dag)


@cache
def _ordinary(dag: Any) -> str:
    return _rendered(dag, "ordinary")


def _rendered(dag: Any, run_id: str) -> str:
    """Return all rendered fields as text, with placeholders for what identifies the run."""
    fields = render(dag, run_id=run_id, partition_key="2021-01")
    text = json.dumps(fields, default=str, sort_keys=True, ensure_ascii=False)
    folders = set(re.findall(rf"/golden/files/{dag.dag_id}/([^/\"]+)", text))
    assert len(folders) <= 1
    for folder in folders:
        assert re.fullmatch(r"[A-Za-z0-9_.~%-]+-[0-9a-f]{10}", folder)
        assert len(folder.encode()) <= 255
        text = text.replace(folder, "FOLDER")
    return re.sub(r"green_2021_01_[0-9a-f]{10}", "STAGING", text)
