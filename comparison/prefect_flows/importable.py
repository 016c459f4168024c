"""Finds the flows of a plan that cannot be imported, for CI: `prefect deploy` takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from prefect.flows import load_flow_from_entrypoint


def broken(plan: Path, *, folder: Path) -> dict[str, str]:
    """The entrypoints of a ``prefect.yaml`` that are no flows, each with the reason.

    Args:
        plan: the file.
        folder: what the entrypoints' paths are relative to.
    """
    deployments: list[dict[str, Any]] = yaml.safe_load(plan.read_text(encoding="utf-8"))["deployments"]
    found = {}
    for entrypoint in sorted({each["entrypoint"] for each in deployments}):
        try:
            load_flow_from_entrypoint(str(folder / entrypoint), use_placeholder_flow=False)
        except Exception as error:
            found[entrypoint] = f"{type(error).__name__}: {error}"
    return found
