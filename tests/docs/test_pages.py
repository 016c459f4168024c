"""The form of single pages: README, the picture, the glossary, the templates."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def test_readme_fits_two_screens_before_the_tour() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    before, found, _ = readme.partition("\n## Look around\n")
    assert found
    assert len(before.splitlines()) <= 90
    commands = re.findall(r"(?m)^make [\w-]+", before.split("## Two commands")[1].split("\n## ")[0])
    assert commands == ["make demo", "make test"]


def test_picture_is_static_and_names_what_it_shows() -> None:
    root = ElementTree.parse(REPOSITORY / "docs/architecture.svg").getroot()
    assert {element.tag for element in root.iter()}.isdisjoint({f"{SVG}script", f"{SVG}image", f"{SVG}foreignObject"})
    labels = {"".join(element.itertext()) for element in root.iter(f"{SVG}text")}
    assert labels >= {
        "2021-01",
        "green_web_to_gcs",
        "green_gcs_to_bigquery",
        "green_web_to_postgres",
        "trips_yearly_rollup",
        "lake_green[2021-01]",
        "warehouse_green[2021-01]",
        "postgres_green[2021-01]",
        "warehouse_yearly_rollup[2021]",
    }


def test_glossary_is_alphabetical_and_says_one_sentence_each() -> None:
    rows = re.findall(r"(?m)^\| \*\*(.+?)\*\* \| (.+?) \| (.+) \|$", (REPOSITORY / "docs/glossary.md").read_text())
    terms = [term for term, _, _ in rows]
    assert len(terms) >= 30
    assert terms == sorted(set(terms), key=str.casefold)
    for term, sentence, _ in rows:
        assert re.fullmatch(r"[^.]+(\.[\w.]+[^.]*)*\.", sentence), term


@pytest.mark.parametrize(
    ("file", "schema"),
    [("bug_report.yml", "vendor.github-issue-forms"), ("config.yml", "vendor.github-issue-config")],
)
def test_issue_templates_agree_with_their_schemas(file: str, schema: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    result = subprocess.run(
        [*command, f".github/ISSUE_TEMPLATE/{file}"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_newest_version_of_the_changelog_is_the_projects() -> None:
    [version] = re.findall(r'(?m)^version = "(.+)"$', (REPOSITORY / "pyproject.toml").read_text())
    assert re.findall(r"(?m)^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text())[0] in (version, "Unreleased")
