"""No kept result is older than the code of its check, and each change of that code shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from comparison import fingerprints
from comparison.concepts import CONCEPTS
from comparison.fingerprints import fingerprint, stale
from comparison.results import Results
from local.cloud.settings import REPOSITORY


def test_no_kept_result_is_older_than_its_check() -> None:
    names = sorted({each.partition(" ")[2] for each in stale(Results.read())})

    assert not names, (
        f"the code of {len(names)} checks is newer than their kept results: run make compare, or "
        f".venv/bin/python -m comparison --quick --only {' '.join(names)}"
    )


def test_a_result_of_another_version_is_none() -> None:
    kept = Results.read()
    older = {name: replace(each, version="3.0.0") for name, each in kept.checks["prefect"].items()}

    found = stale(replace(kept, checks={**kept.checks, "prefect": older}))

    assert len([each for each in found if each.startswith("prefect ")]) == len(older)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the comparison, which a test may change."""
    ignored = shutil.ignore_patterns(".venv", "__pycache__")
    shutil.copytree(fingerprints._ROOT, tmp_path / "comparison", ignore=ignored)
    for each in CONCEPTS:
        for path in (each.airflow.path, each.prefect.path):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / path, tmp_path / path)
    examples = {side: tmp_path / "comparison" / path.name for side, path in fingerprints._EXAMPLES.items()}
    monkeypatch.setattr(fingerprints, "REPOSITORY", tmp_path)
    monkeypatch.setattr(fingerprints, "_ROOT", tmp_path / "comparison")
    monkeypatch.setattr(fingerprints, "_EXAMPLES", examples)
    _forget()
    yield tmp_path / "comparison"
    _forget()


def _forget() -> None:
    for each in ("_module", "_file", "_checks", "_examples", "_all_deployments"):
        getattr(fingerprints, each).cache_clear()


@pytest.mark.parametrize(
    ("side", "path", "old", "new", "changed"),
    [
        ("airflow", "checks/airflow/run.py", 'run("retries")', 'run("retries" )', set()),
        ("airflow", "checks/airflow/run.py", 'run("retries")', 'run("retried")', {"retries"}),
        ("airflow", "checks/airflow/run.py", "A task that fails twice", "A task that fails", set()),
        ("airflow", "checks/__init__.py", ".total_seconds()", ".seconds", {"retries"}),
        ("airflow", "airflow_dags/examples.py", "@task(retries=2", "@task(retries=3", {"retries"}),
        (
            "airflow",
            "airflow_settings/airflow_local_settings.py",
            "if name in",
            "if name not in",
            {"infrastructure_per_run"},
        ),
        ("prefect", "prefect_flows/automations.py", '["1", "2", "3"]', '["1"]', {"crash_recovery"}),
        ("prefect", "prefect_flows/examples.py", "while read_page(", "if read_page(", {"control_flow"}),
        ("prefect", "prefect_flows/examples.yaml", "interval: 3600", "interval: 60", {"catch_up"}),
        ("prefect", "checks/prefect/side.py", "hunter2", "hunter3", {"connections", "secrets", "variables"}),
        ("airflow", "../plugins/nyc_taxi/stores/skip_unchanged.py", "BranchMixIn):", "SkipMixin):", {"caching"}),
        ("airflow", "edited.py", "edited_dag.test()", "edited_dag.test(None)", {"edit_to_result"}),
        ("prefect", "checks/__init__.py", "return 2 * number", "return 3 * number", {"result_types"}),
        ("airflow", "airflow_side.py", "{READER}:viewer", "{READER}:user", {"roles"}),
        ("prefect", "prefect_side.py", 'LOOP_SECONDS": "10"', 'LOOP_SECONDS": "20"', {"clean_up"}),
        (
            "prefect",
            "checks/prefect/side.py",
            'return list(self._schema()["paths"])',
            "return []",
            {"roles", "rollback"},
        ),
        ("airflow", "../local/airflow/airflow.env", "EXECUTOR=Local", "EXECUTOR=Celery", {"workers"}),
        ("prefect", "prefect_flows/rotation.py", "include_secrets=False", "include_secrets=True", {"secret_rotation"}),
    ],
)
def test_a_change_of_a_checks_code_shows(
    copy: Path, side: str, path: str, old: str, new: str, changed: set[str]
) -> None:
    before = {concept: fingerprint(side, concept) for concept in fingerprints._checks(side)}
    text = (copy / path).read_text()
    assert old in text
    (copy / path).write_text(text.replace(old, new))
    _forget()

    found = {concept for concept, kept in before.items() if fingerprint(side, concept) != kept}

    assert found >= changed
    assert (found == set()) == (changed == set())
    assert len(found) < len(before) / 3  # what the change has nothing to do with stays
