"""Conventions of the package's own operators.

The tests find the operators by walking the package, so a new operator needs no edit here.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
from airflow.sdk import BaseOperator

import nyc_taxi


def _own_operators() -> Iterator[type[BaseOperator]]:
    """Yield the operators and sensors that derive only from BaseOperator; others follow their provider."""
    for module in pkgutil.walk_packages(nyc_taxi.__path__, "nyc_taxi."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and value.__module__ == module.name and value.__bases__ == (BaseOperator,):
                yield value


OPERATORS = list(_own_operators())
EVERY = pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)


def _arguments(operator: type[BaseOperator]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(inspect.unwrap(operator.__init__)).parameters
    return {name: parameter for name, parameter in parameters.items() if name not in ("self", "kwargs")}


def test_the_walk_finds_operators_in_several_folders() -> None:
    names = {operator.__name__ for operator in OPERATORS}
    assert names >= {"HttpToLocalFilesystemOperator", "ParquetToPostgresOperator", "PublicationSensor"}


@EVERY
def test_every_argument_is_a_template_field_and_keyword_only(operator: type[BaseOperator]) -> None:
    arguments = _arguments(operator)
    assert set(operator.template_fields) == set(arguments)
    assert len(operator.template_fields) == len(arguments)
    assert {parameter.kind for parameter in arguments.values()} == {inspect.Parameter.KEYWORD_ONLY}


@EVERY
def test_the_constructor_only_assigns(operator: type[BaseOperator]) -> None:
    values = {name: f"{{{{ params.{name} }}}}" for name in _arguments(operator)}
    made = operator(task_id="x", **values)
    assert {name: getattr(made, name) for name in values} == values


@EVERY
def test_the_docstring_names_every_argument(operator: type[BaseOperator]) -> None:
    text = inspect.getdoc(operator) or ""
    for name in _arguments(operator):
        assert f"\n    {name}: " in text
    for part in ("\nReturns:\n", "\nRaises:\n"):
        assert part in text
