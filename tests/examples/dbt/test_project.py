"""The dbt project as it is written: complete descriptions, names only through ref and source, nothing secret."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.cloud.settings import REPOSITORY

PROJECT = REPOSITORY / "examples" / "dbt"
MODELS = sorted((PROJECT / "models").rglob("*.sql"))
STATEMENTS = [*MODELS, *sorted((PROJECT / "tests").glob("*.sql"))]


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def _properties(kind: str) -> dict[str, dict[str, Any]]:
    """What the property files say of each model, seed, macro or test, by name."""
    folders = ("models", "seeds", "macros", "tests")
    files = [path for folder in folders for path in (PROJECT / folder).rglob("*.yml")]
    return {one["name"]: one for path in files for one in _read(path).get(kind, ())}


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("models", MODELS),
        ("seeds", sorted((PROJECT / "seeds").glob("*.csv"))),
        ("macros", sorted((PROJECT / "macros").glob("*.sql"))),
        ("data_tests", sorted((PROJECT / "tests").glob("*.sql"))),
    ],
)
def test_everything_is_described(kind: str, files: list[Path]) -> None:
    described = _properties(kind)
    assert sorted(described) == sorted(path.stem for path in files)
    for one in (*described.values(), *(column for each in described.values() for column in each.get("columns", ()))):
        assert one["description"].endswith("."), one["name"]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_each_model_is_tested(path: Path) -> None:
    columns = _properties("models")[path.stem]["columns"]
    assert any(column.get("data_tests") for column in columns)


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: path.stem)
def test_tables_are_named_by_ref_and_source_only(path: Path) -> None:
    sql = re.sub(r"--.*", "", path.read_text())
    own = set(re.findall(r"(\w+) as \(", sql))
    named = re.findall(r"\b(?:from|join)\s+([^\s,()]+)", sql)
    assert named
    assert {name for name in named if name != "{{"} <= own
    assert not re.search(r"`|\btrips\.(green|yellow|zones)\b|analytics", sql)


def test_the_local_target_stays_on_this_machine_and_has_no_secret() -> None:
    outputs = _read(PROJECT / "profiles.yml")["nyc_taxi"]["outputs"]
    assert sorted(outputs) == ["cloud", "local"]
    assert outputs["local"]["api_endpoint"].startswith("http://127.0.0.1:")
    assert (outputs["local"]["method"], outputs["local"]["token"]) == ("oauth-secrets", "none")
    assert outputs["cloud"]["method"] == "oauth"
    keys = {"keyfile", "keyfile_json", "refresh_token", "client_secret", "impersonate_service_account"}
    assert not keys & {key for output in outputs.values() for key in output}


def test_dbt_reports_to_nobody() -> None:
    project = _read(PROJECT / "dbt_project.yml")
    assert project["flags"]["send_anonymous_usage_stats"] is False
    assert not (PROJECT / "packages.yml").exists(), "packages would be downloaded from elsewhere than PyPI"
