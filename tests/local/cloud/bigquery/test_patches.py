"""The patches of bqemulator and sqlglot: all in one folder, each documented for the installed version."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud.settings import REPOSITORY
from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.corpus.patched import ENTRIES, WITHOUT_ANSWER, ask, create_dataset
from tests.local.cloud.bigquery.corpus.upstream import bare

PACKAGE = REPOSITORY / "local/cloud/bigquery"
PATCHES = sorted(path for path in (PACKAGE / "patches").glob("*.py") if path.name != "__init__.py")
OTHERS = sorted(path for path in PACKAGE.glob("*.py"))
LIBRARIES = ("bqemulator", "sqlglot", "duckdb")


def _locked_versions() -> dict[str, str]:
    lock = tomllib.loads((REPOSITORY / "local/cloud/uv.lock").read_text())
    return {package["name"]: package["version"] for package in lock["package"] if package["name"] in LIBRARIES}


def _is_library(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] in LIBRARIES


def _reaches_inside(tree: ast.Module) -> Iterator[str]:
    """Yield each place where a module imports a private name of a library or assigns to an attribute of one."""
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _is_library(node.module):
            imported |= {name.asname or name.name for name in node.names}
            yield from (f"imports {name.name}" for name in node.names if name.name.startswith("_"))
        elif isinstance(node, ast.Import):
            imported |= {(name.asname or name.name).partition(".")[0] for name in node.names if _is_library(name.name)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name) or node.value.id not in imported:
            continue
        if isinstance(node.ctx, ast.Store) or node.attr.startswith("_"):
            yield f"{ast.unparse(node)} in line {node.lineno}"


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_only_patches_reach_into_the_libraries(path: Path) -> None:
    assert list(_reaches_inside(ast.parse(path.read_text()))) == []


def test_the_check_finds_a_patch_when_there_is_one() -> None:
    found = "\n".join(place for path in PATCHES for place in _reaches_inside(ast.parse(path.read_text())))
    for place in ("imports _table_to_rest", "Dialect.parse in line", "executor.ScriptInterpreter in line"):
        assert place in found


@pytest.mark.parametrize("path", PATCHES, ids=lambda path: path.stem)
def test_each_patch_names_the_installed_version_the_reason_and_its_end(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    named = re.search(r"(bqemulator|sqlglot) (\d+\.\d+(?:\.\d+)?)", text.splitlines()[0])
    assert named is not None, text
    assert f"{_locked_versions()[named[1]]}.".startswith(f"{named[2]}.")
    assert "\nWhy: " in text
    assert "\nCan be removed" in text


def test_the_index_lists_every_patch() -> None:
    index = (PACKAGE / "patches/__init__.py").read_text()
    listed = re.findall(r"^(?:\d+\. |- |)``(\w+)``", index, re.MULTILINE)
    assert sorted(listed) == [path.stem for path in PATCHES]


def test_each_patch_has_an_entry_for_the_authors() -> None:
    assert sorted([*ENTRIES, *WITHOUT_ANSWER]) == [path.stem for path in PATCHES]


@pytest.fixture(scope="module")
def answers(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """The answers of bqemulator and of the embedded BigQuery to each entry."""
    with bare(tmp_path_factory.mktemp("bqemulator")) as alone:
        create_dataset(alone.url)
        create_dataset(server.url)
        return {patch: (ask(alone.url, entry), ask(server.url, entry)) for patch, entry in ENTRIES.items()}


@pytest.mark.full
@pytest.mark.parametrize("patch", ENTRIES)
def test_bqemulator_differs_and_the_embedded_bigquery_does_not(answers: dict[str, tuple[str, str]], patch: str) -> None:
    entry = ENTRIES[patch]
    alone, embedded = answers[patch]
    assert entry.here in alone
    assert (entry.ours or entry.google) in embedded
    assert entry.here not in embedded
