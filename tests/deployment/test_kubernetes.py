"""infra/kubernetes, as far as it can be checked without a cluster: schemas, Airflow's own loader, measured memory.

The chart is in no package registry, so what the tests know of its values is written down here, from the documentation
of its version 1.22. With ``AIRFLOW_CHART``, the path of that chart's archive, and ``helm`` on ``PATH``, it is rendered,
which also checks the values against the chart's own schema.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.cloud.settings import REPOSITORY, read_env_file
from tests.deployment.dockerfile import Dockerfile

FOLDER = REPOSITORY / "infra" / "kubernetes"
TEMPLATE, VALUES = FOLDER / "pod-template.yaml", FOLDER / "values.yaml"
PAGE = (REPOSITORY / "docs" / "deploy.md").read_text()
RELEASE, KUBERNETES = "taxi", "1.33"
MEBIBYTE = 1 << 20
STEP = 64
# Of the chart's values: what each key that is used here takes.
COMPONENT = {
    "command": list,
    **dict.fromkeys(("extraInitContainers", "env"), list),
    "resources": dict,
    **dict.fromkeys(("livenessProbe.command", "startupProbe.command"), list),
    **dict.fromkeys(("waitForMigrations.enabled", "logGroomerSidecar.enabled", "persistence.enabled"), bool),
    "serviceAccount.annotations": dict,
}
CHART: dict[str, type] = {
    **dict.fromkeys(("executor", "airflowVersion", "airflowLocalSettings", "extraEnvFrom"), str),
    **dict.fromkeys(("images.airflow.repository", "images.airflow.tag"), str),
    **dict.fromkeys(("fernetKeySecretName", "apiSecretKeySecretName", "jwtSecretName"), str),
    "data.metadataSecretName": str,
    **dict.fromkeys(("createUserJob.enabled", "postgresql.enabled", "statsd.enabled"), bool),
    "config": dict,
    "dagProcessor.dagBundleConfigList": list,
    "workers.serviceAccount.annotations": dict,
    "migrateDatabaseJob.command": list,
    **{
        f"{component}.{key}": kind
        for component in ("scheduler", "triggerer", "apiServer", "dagProcessor")
        for key, kind in COMPONENT.items()
    },
}


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return yaml.safe_load(VALUES.read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return yaml.safe_load(TEMPLATE.read_text())  # type: ignore[no-any-return]


def test_a_pod_has_the_memory_that_was_measured(template: dict[str, Any]) -> None:
    """Two processes, each at most as large as the largest task: no pod is killed, and no node is too full."""
    [row] = [
        row
        for row in json.loads((REPOSITORY / "benchmarks" / "results.json").read_text())["rows"]
        if row["name"] == "task_memory_fhvhv"
    ]
    peak = max(row["more"]["peak_mb_by_task"].values())
    needed = -(-2 * peak * 1e6 // (STEP * MEBIBYTE)) * STEP
    resources = template["spec"]["containers"][0]["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == f"{needed:.0f}Mi"


def test_every_key_of_the_values_is_the_charts(values: dict[str, Any]) -> None:
    wrong = {}
    for path, value in _leaves(values):
        kind = CHART.get(path)
        if kind is None or not isinstance(value, kind):
            wrong[path] = value
    assert wrong == {}


def _leaves(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """The values by their paths, down to those that the chart takes as a whole."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        path = f"{prefix}{key}"
        found += [(path, value)] if path in CHART or not isinstance(value, dict) else _leaves(value, f"{path}.")
    return found


def test_every_option_of_the_configuration_is_airflows(values: dict[str, Any]) -> None:
    from airflow.configuration import conf

    own = {(section, option) for section, options in values["config"].items() for option in options}
    known = {(section, option) for section, option in own if conf.has_option(section, option)}
    # Of the providers that make test does not install.
    providers = {("kubernetes_executor", "delete_worker_pods_on_failure")}
    assert own - known <= providers


def test_values_and_template_are_of_one_deployment(values: dict[str, Any], template: dict[str, Any]) -> None:
    container = template["spec"]["containers"][0]
    settings, connections = container["envFrom"]
    assert [settings] == yaml.safe_load(values["extraEnvFrom"])
    assert connections == {"secretRef": {"name": "taxi-connections", "optional": True}}
    assert template["spec"]["volumes"][0]["configMap"]["name"] == f"{RELEASE}-config"
    assert template["spec"]["serviceAccountName"] == f"{RELEASE}-airflow-worker"
    assert template["metadata"]["labels"]["release"] == RELEASE
    assert f"helm upgrade --install {RELEASE} " in VALUES.read_text()
    for component in ("scheduler", "triggerer", "apiServer", "dagProcessor", "migrateDatabaseJob"):
        assert values[component]["command"] == container["command"] == ["/usr/bin/env"]


def test_a_component_has_the_connections_that_it_asks_for(values: dict[str, Any]) -> None:
    """As with docker compose: tasks have all of them. The API server also reads logs, and shows the page Months."""
    named = {
        component: {one["name"] for one in values[component].get("env", [])}
        for component in ("scheduler", "triggerer", "apiServer", "dagProcessor", "migrateDatabaseJob")
    }
    notifications = {"AIRFLOW_CONN_FAILURE_WEBHOOK", "AIRFLOW_CONN_FAILURE_EMAIL"}
    of_stores = {"AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT", "AIRFLOW_VAR_LAKE_BUCKET", "AIRFLOW_CONN_NY_TAXI"}
    assert named == {
        "scheduler": set(),
        "migrateDatabaseJob": set(),
        "dagProcessor": notifications,
        "triggerer": {*notifications, "AIRFLOW_CONN_TAXI_SOURCE", "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"},
        "apiServer": {*of_stores, "AIRFLOW_VAR_MAXIMUM_BYTES_BILLED"},
    }
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yaml").read_text())["services"]
    services = {"scheduler": "scheduler", "dagProcessor": "dag-processor", "triggerer": "triggerer"}
    for component, service in services.items():
        assert named[component] <= set(compose[service]["environment"])
    for one in (one for component in named for one in values[component].get("env", [])):
        reference = {"name": "taxi-connections", "key": one["name"], "optional": True}
        assert one["valueFrom"] == {"secretKeyRef": reference}


def test_they_are_of_this_repository(values: dict[str, Any], template: dict[str, Any]) -> None:
    locked = re.search(r"(?m)^apache-airflow==(\S+)", (REPOSITORY / "requirements.txt").read_text())
    assert locked is not None
    assert values["airflowVersion"] == locked[1]
    [project] = re.findall(r'(?m)^version = "(.+)"', (REPOSITORY / "pyproject.toml").read_text())
    assert values["images"]["airflow"]["tag"] == project
    [bundle] = values["dagProcessor"]["dagBundleConfigList"]
    assert json.dumps([bundle]) in PAGE, "the section Code from git shows the same"
    user = int(Dockerfile().get("airflow", "USER")[0])
    assert template["spec"]["securityContext"]["runAsUser"] == user


def test_no_secret_is_in_the_files() -> None:
    """Each is named, and made by the commands of docs/deploy.md."""
    text = VALUES.read_text() + TEMPLATE.read_text()
    made = set(re.findall(r"kubectl create (?:secret generic|configmap) ([\w-]+)", PAGE))
    named = set(re.findall(r"(?m)(?:SecretName|KeySecretName|jwtSecretName): ([\w-]+)$", text))
    named |= set(re.findall(r"(?:secretRef|configMapRef|secretKeyRef):(?:\n\s+| \{)name: ([\w-]+)", text))
    assert named == made
    assert not re.search(r"(?i)^\s*(password|pass|fernetKey|jwtSecret|apiSecretKey):", text, re.MULTILINE)


def test_kubectl_reads_the_settings_as_the_local_stack_does() -> None:
    """It takes a line as it is; runs the line of the page that makes the file for it."""
    [command] = re.findall(r"(?m)^ +(sed .* config/airflow\.env) > settings\.txt", PAGE)
    made = subprocess.run(["bash", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    lines = [line for line in made.splitlines() if line and not line.startswith("#")]
    settings = read_env_file(REPOSITORY / "config" / "airflow.env")
    assert lines == [f"{name}={value}" for name, value in settings.items()]


@pytest.mark.full
def test_kubernetes_knows_every_field_of_the_template(template: dict[str, Any]) -> None:
    import kubernetes_validate

    kubernetes_validate.validate(template, KUBERNETES, strict=True)
    wrong = copy.deepcopy(template)
    wrong["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="resource"):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


@pytest.mark.full
def test_airflow_makes_the_pod_of_a_task_from_the_template(template: dict[str, Any]) -> None:
    import kubernetes_validate
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
    from kubernetes.client import ApiClient

    pod = PodGenerator.construct_pod(
        dag_id="green_web_to_gcs",
        task_id="to_parquet",
        pod_id="green-web-to-gcs-to-parquet-x",
        try_number=1,
        kube_image="registry/taxi:1",
        date=datetime(2026, 11, 1, tzinfo=UTC),
        args=["python", "-m", "airflow.sdk.execution_time.execute_workload", "--json-string", "{}"],
        pod_override_object=None,
        base_worker_pod=PodGenerator.deserialize_model_file(str(TEMPLATE)),
        namespace="airflow",
        scheduler_job_id="1",
        run_id="manual__2021-01",
    )
    made = ApiClient().sanitize_for_serialization(pod)
    kubernetes_validate.validate(made, KUBERNETES, strict=True)
    [container], [declared] = made["spec"]["containers"], template["spec"]["containers"]
    assert [container["image"], *container["command"], *container["args"][:2]] == [
        *("registry/taxi:1", "/usr/bin/env", "python", "-m")
    ]
    for field in ("resources", "volumeMounts", "securityContext", "envFrom"):
        assert container[field] == declared[field]
    assert made["metadata"]["name"] == "green-web-to-gcs-to-parquet-x"
    assert made["metadata"]["labels"]["dag_id"] == "green_web_to_gcs"
    assert made["metadata"]["labels"]["component"] == "worker"
    assert made["spec"]["serviceAccountName"] == template["spec"]["serviceAccountName"]
    assert [volume["name"] for volume in made["spec"]["volumes"]] == ["config", "logs", "tmp"]
    assert "SQL_ALCHEMY_CONN" not in json.dumps(made), "a task gets no connection to Airflow's database"


@pytest.mark.full
@pytest.mark.skipif(
    not (os.environ.get("AIRFLOW_CHART") and shutil.which("helm")), reason="needs AIRFLOW_CHART and helm"
)
def test_the_chart_renders_manifests_that_kubernetes_knows(template: dict[str, Any], tmp_path: Path) -> None:
    import kubernetes_validate

    folders = {f"HELM_{name}_HOME": str(tmp_path / name) for name in ("CACHE", "CONFIG", "DATA")}
    rendered = subprocess.run(
        [
            *("helm", "template", RELEASE, os.environ["AIRFLOW_CHART"], "--namespace", "airflow"),
            *("--values", str(VALUES), "--set-file", f"podTemplate={TEMPLATE}"),
        ],
        env={**os.environ, **folders},
        capture_output=True,
        text=True,
        check=False,
    )
    assert rendered.returncode == 0, rendered.stderr
    manifests = [one for one in yaml.safe_load_all(rendered.stdout) if one]
    for manifest in manifests:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    names = {(one["kind"], one["metadata"]["name"]): one for one in manifests}
    config = names["ConfigMap", f"{RELEASE}-config"]["data"]
    assert yaml.safe_load(config["pod_template_file.yaml"]) == template
    assert ("ServiceAccount", f"{RELEASE}-airflow-worker") in names
    for name in ("scheduler", "api-server"):
        [container, *_] = names["Deployment", f"{RELEASE}-{name}"]["spec"]["template"]["spec"]["containers"]
        has = {one["name"] for one in container["env"]}
        assert ("AIRFLOW_CONN_NY_TAXI" in has) is (name == "api-server")
        assert container["envFrom"] == yaml.safe_load(yaml.safe_load(VALUES.read_text())["extraEnvFrom"])
