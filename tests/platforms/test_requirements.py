"""requirements.in: lower bounds for platforms with an Airflow of their own."""

from __future__ import annotations

import importlib.util
import re
import sysconfig
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY
from tests.imports import third_party_imports

REQUIREMENTS = [
    Requirement(line)
    for line in (REPOSITORY / "requirements.in").read_text().splitlines()
    if line and not line.startswith("#")
]


@cache
def records() -> dict[str, str]:
    """What each package has installed, a line a file. As text: a hundred thousand files take a minute as paths."""
    return {canonicalize_name(one.name): f"\n{one.read_text('RECORD') or ''}" for one in distributions()}


def package_of(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    file = Path(spec.origin).relative_to(sysconfig.get_path("purelib")).as_posix()
    [package] = [name for name, record in records().items() if f"\n{file}," in record]
    return package


def test_every_package_that_the_dags_and_plugins_import_is_named_and_no_other() -> None:
    imported = {package_of(module) for module in third_party_imports()}
    named = {canonicalize_name(requirement.name) for requirement in REQUIREMENTS}
    # apache-airflow has no modules: it brings apache-airflow-core.
    assert {name.replace("airflow-core", "airflow") for name in imported} == named


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_every_bound_is_a_lower_one_that_the_tested_version_satisfies(requirement: Requirement) -> None:
    assert [bound.operator for bound in requirement.specifier] == [">="]
    assert version(requirement.name) in requirement.specifier
    # The images install the same version.
    pins = dict(re.findall(r"(?m)^([\w.-]+)(?:\[.*\])?==(\S+)", (REPOSITORY / "requirements.txt").read_text()))
    assert pins[requirement.name] == version(requirement.name)
