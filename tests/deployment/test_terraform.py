"""infra/terraform makes what docs/gcp.md asks for, under the names that the pipeline has; no test applies it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import hcl2
import pytest
import yaml
from hcl2.utils import SerializationOptions

from local.airflow.gcp_check import DATASETS
from tests.conftest import REPOSITORY
from tests.deployment.test_env_example import EXAMPLE

FILES = sorted((REPOSITORY / "infra" / "terraform").glob("*.tf"))
DEPLOY = (REPOSITORY / "docs" / "deploy.md").read_text()
SQL = (REPOSITORY / "include/sql/bigquery/create/datasets.sql").read_text()
DAY = 24 * 60 * 60 * 1000
# The resource of each kind of place in docs/gcp.md's table of roles; of a bucket, which ones.
PLACES = {
    ("lake", "work", "logs"): "the buckets of the lake, the work dir and the logs",
    ("lake", "work"): "the buckets of the lake and the work dir",
    "google_project_iam_member": "the project",
    "google_bigquery_dataset_iam_member": "the datasets `trips` and `trips_staging`",
    "google_service_account_iam_member": "the service account",
}


@pytest.fixture(scope="module")
def blocks() -> dict[str, dict[str, Any]]:
    """All blocks of the files by their addresses, such as ``var.project`` and ``google_service_account.tasks``."""
    plain = SerializationOptions(strip_string_quotes=True, with_comments=False, explicit_blocks=False)
    found: dict[str, dict[str, Any]] = {}
    for file in FILES:
        for kind, bodies in hcl2.loads(file.read_text(), serialization_options=plain).items():
            for body in bodies:
                found.update(_addresses(kind, body))
    return found


def _addresses(kind: str, body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, inner in body.items():
        if kind == "resource":
            yield from ((f"{name}.{one}", attributes) for one, attributes in inner.items())
        else:
            yield f"{ {'variable': 'var', 'locals': 'local'}.get(kind, kind) }.{name}", inner


def test_whatever_is_named_exists_and_whatever_can_be_set_is_used(blocks: dict[str, dict[str, Any]]) -> None:
    text = "\n".join(re.sub(r"#.*", "", file.read_text()) for file in FILES)
    named = set(re.findall(r"\b(?:var|local|google_\w+)\.\w+", text))
    assert named <= set(blocks)
    assert {address for address in blocks if address.startswith(("var.", "local."))} <= named


def test_the_datasets_are_those_that_the_pipeline_makes(blocks: dict[str, dict[str, Any]]) -> None:
    made = {
        name: (description, int(days) * DAY if days else None)
        for name, description, days in re.findall(
            r"CREATE SCHEMA IF NOT EXISTS (\w+)\s+OPTIONS \(description = '(.*?)'"
            r"(?:, default_table_expiration_days = (\d+))?\)",
            SQL,
        )
    }
    declared = blocks["local.datasets"]
    assert {name: (one["description"], one["expiration_ms"]) for name, one in declared.items()} == made
    assert list(declared) == list(DATASETS)


def test_the_roles_are_those_of_the_page(blocks: dict[str, dict[str, Any]]) -> None:
    page = (REPOSITORY / "docs" / "gcp.md").read_text().split("\n## Roles\n")[1].split("\n## ")[0]
    wanted = dict(re.findall(r"(?m)^\| `(roles/[\w.]+)` \| (.*?) \|", page))
    del wanted["roles/bigquery.user"]  # to make the datasets, which Terraform has made
    granted: dict[str, list[str]] = {}
    for address, body in blocks.items():
        if address.startswith("google_") and "role" in body:
            buckets = re.findall(r"google_storage_bucket\.(\w+)", body.get("bucket", ""))
            granted.setdefault(body["role"], []).append(*(buckets or [address.partition(".")[0]]))
    assert {role: PLACES.get(tuple(places)) or PLACES[places[0]] for role, places in granted.items()} == wanted


def test_names_and_defaults_are_those_of_the_settings(blocks: dict[str, dict[str, Any]]) -> None:
    example = dict(re.findall(r"(?m)^#([A-Z0-9_]+)=(.*)$", EXAMPLE.read_text()))
    assert blocks["var.location"]["default"] == example["BIGQUERY_LOCATION"]
    assert [name for name, body in blocks.items() if name.startswith("var.") and "default" not in body] == [
        "var.project",
        "var.lake_bucket",
    ]
    set_ = re.findall(r"(?m)^\s*([A-Z_]+)=", blocks["output.env"]["value"])
    assert set(set_) <= set(example)
    extra = json.loads(example["AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"].strip("'"))["extra"]
    assert set(extra) < set(blocks["local.connection"]["extra"])


@pytest.mark.parametrize("name", ["work", "logs"])
def test_a_bucket_is_made_if_it_is_named(blocks: dict[str, dict[str, Any]], name: str) -> None:
    bucket, variable = blocks[f"google_storage_bucket.{name}"], f"{name}_bucket"
    assert blocks[f"var.{variable}"]["default"] is None
    assert bucket["name"] == f"${{var.{variable}}}"
    assert bucket["count"] == f"${{var.{variable} == null ? 0 : 1}}"
    for address, body in blocks.items():
        if address.startswith(f"google_storage_bucket_iam_member.{name}_"):
            assert body["count"] == f"${{length(google_storage_bucket.{name})}}"
            assert body["bucket"] == f"${{google_storage_bucket.{name}[count.index].name}}"


def test_what_is_left_in_the_work_dir_goes_as_by_hand(blocks: dict[str, dict[str, Any]]) -> None:
    """The page's commands make the same bucket."""
    work = blocks["google_storage_bucket.work"]
    [rule], [soft_delete] = work["lifecycle_rule"], work["soft_delete_policy"]
    [by_hand] = re.findall(r"echo '(\{\"rule\": .*\})' > lifecycle\.json", DEPLOY)
    own = {"action": rule["action"][0], "condition": {"age": int(rule["condition"][0]["age"])}}
    assert json.loads(by_hand) == {"rule": [own]}
    assert soft_delete["retention_duration_seconds"] == 0
    assert "--soft-delete-duration 0" in DEPLOY


def test_the_buckets_have_the_same_names_everywhere() -> None:
    page = (REPOSITORY / "docs" / "gcp.md").read_text()
    [work], [logs] = (re.findall(rf"-var {name}_bucket=(\S+)", page) for name in ("work", "logs"))
    values = yaml.safe_load((REPOSITORY / "infra" / "kubernetes" / "values.yaml").read_text())
    assert values["config"]["logging"]["remote_base_log_folder"] == f"gs://{logs}/logs"
    for bucket in (work, logs):
        assert f"gcloud storage buckets create gs://{bucket} " in DEPLOY
        assert f"gcloud storage buckets add-iam-policy-binding gs://{bucket} " in DEPLOY
    assert set(re.findall(r"gs://(my-nyc-taxi-(?!lake)\w+)", DEPLOY)) == {work, logs}


@pytest.mark.parametrize("name", ["lake", "work", "logs"])
def test_nobody_else_can_read_a_bucket(blocks: dict[str, dict[str, Any]], name: str) -> None:
    bucket = blocks[f"google_storage_bucket.{name}"]
    assert (bucket["public_access_prevention"], bucket["uniform_bucket_level_access"]) == ("enforced", True)
    members = {body["member"] for body in blocks.values() if isinstance(body, dict) and "member" in body}
    assert members == {"${google_service_account.tasks.member}", "${each.value}"}
