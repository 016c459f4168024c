"""What docs/deploy.md tells a deployment to set."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.conftest import REPOSITORY

DEPLOY = (REPOSITORY / "docs/deploy.md").read_text()


def documented_json(name: str) -> dict[str, Any]:
    """The JSON that the page shows for the file ``name``."""
    [text] = re.findall(rf"`{re.escape(name)}`:\n\n```json\n(.*?)```", DEPLOY, re.DOTALL)
    return json.loads(text)


def documented_work_dir() -> str:
    """The work dir that the page tells Composer, MWAA and Astro to take, as others with many workers do."""
    [address] = re.findall(r"Set `work_dir` to \[a bucket\]\(#the-work-dir\), such as\s+`(gs://\S+)`", DEPLOY)
    return address


def as_variables(connections: dict[str, Any], variables: dict[str, str]) -> dict[str, str]:
    """The environment variables that set both."""
    named = {f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection) for name, connection in connections.items()}
    return named | {f"AIRFLOW_VAR_{name.upper()}": value for name, value in variables.items()}
