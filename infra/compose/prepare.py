"""What airflow-init of docker-compose.yaml does first: it checks the settings, and writes the passwords of the UI.

Tasks would find what is wrong one by one. This container has no secret of the tasks, so it cannot look at the keys of
their connections.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

# The package that the DAGs import is in Airflow's plugins folder.
sys.path.append(os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"])

from nyc_taxi.common.work_files import checked_work_dir
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.months import MONTH_PATTERN

ADMIN = "admin"
# The bucket that the emulator makes, which is nobody's to use on Google Cloud.
EMULATED_BUCKET = "nyc-taxi-lake"
BUNDLES = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
GOOGLE = "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT, LAKE_BUCKET, TAXI_SOURCE_URL and SOURCE_LAYOUT"


def check(env: Mapping[str, str]) -> None:
    """Check what the tasks are told: where their servers are, and where they write.

    Raises:
        ValueError, OSError: a setting is wrong; the message says which, and what to do.
    """
    emulators = [env[name] for name in ("STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST") if env.get(name)]
    for url in emulators:
        if problem := unresolved(url):
            raise ValueError(
                f"the emulator {url} is not there: {problem}; start with --profile local-cloud, or set {GOOGLE} in "
                ".env for Google Cloud"
            )
    check_code(env)
    # A secrets backend may have all of the following, and it comes before the environment.
    if env.get("AIRFLOW__SECRETS__BACKEND"):
        return
    if not emulators and env["AIRFLOW_VAR_LAKE_BUCKET"] == EMULATED_BUCKET:
        raise ValueError(f"LAKE_BUCKET is not set, and {EMULATED_BUCKET} is the emulator's; set it to your bucket")
    checked_work_dir(env["AIRFLOW_VAR_WORK_DIR"])
    check_source(json.loads(env["AIRFLOW_CONN_TAXI_SOURCE"]))


def check_code(env: Mapping[str, str]) -> None:
    """Check the setting of code from git, without which the code is the image's.

    Raises:
        ValueError: Airflow would have no DAG; the message says what to do.
    """
    if (given := env.get(BUNDLES)) is None:
        return
    try:
        bundles = [bundle["classpath"] for bundle in json.loads(given) if {"name", "kwargs"} <= bundle.keys()]
    except (ValueError, TypeError, KeyError, AttributeError):
        bundles = []
    if not bundles:
        raise ValueError(
            f"{BUNDLES} is no JSON list of bundles, each with name, classpath and kwargs; remove it from .env, or copy "
            "one from the section Code from git of docs/deploy.md"
        )
    if shutil.which("git") is None:
        raise ValueError(f"{BUNDLES} needs git, and this image has none; start with docker compose up --build")


def check_source(connection: Mapping[str, Any]) -> None:
    """Check the connection ``taxi_source``.

    Raises:
        ValueError: it is wrong; the message says what to do.
    """
    host, layout, last = connection["host"], connection["extra"]["layout"], connection["extra"]["last_month"]
    layouts = [one.value for one in Layout]
    if not host.startswith(("http://", "https://")):
        raise ValueError(f"TAXI_SOURCE_URL={host} is not a URL; set it to one with http:// or https://")
    if layout not in layouts:
        raise ValueError(f"SOURCE_LAYOUT={layout} is not a layout; set it to {' or '.join(layouts)}")
    if last and not re.fullmatch(MONTH_PATTERN, last):
        raise ValueError(f"SOURCE_LAST_MONTH={last} is not a month; write YYYY-MM, or leave it empty")
    if problem := unresolved(host):
        raise ValueError(
            f"the source {host} is not there: {problem}; set TAXI_SOURCE_URL and SOURCE_LAYOUT in .env, or start with "
            "--profile local-cloud"
        )


def unresolved(url: str) -> str:
    """Return why the name of a URL's server cannot be found; empty if it can, or if a proxy would look for it.

    Nothing is sent there: a source that is down for an hour must not keep Airflow from starting.
    """
    parts = urlsplit(url)
    if parts.scheme in getproxies():
        return ""
    try:
        socket.getaddrinfo(parts.hostname, parts.port)
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def write_passwords(env: Mapping[str, str]) -> None:
    """Give each user of the simple auth manager a password; the administrator has that of ``.env``.

    Airflow would give those that have none one of its own, and write it into a log.
    """
    path = Path(env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    known = json.loads(path.read_text()) if path.exists() else {}
    names = [user.partition(":")[0].strip() for user in env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"].split(",")]
    passwords = {name: known.get(name) or token_urlsafe() for name in names}
    path.write_text(json.dumps({**passwords, ADMIN: env["AIRFLOW_ADMIN_PASSWORD"]}))


def main() -> int:
    try:
        check(os.environ)
        write_passwords(os.environ)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
