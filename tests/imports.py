"""What dags/ and plugins/ import from others."""

from __future__ import annotations

import ast
import sys

from tests.conftest import REPOSITORY

# The page in the UI, which no task imports.
API_SERVER_ONLY = {"months.py", "months_page"}


def third_party_imports(*, of_tasks: bool = False) -> set[str]:
    """The names of the modules of others that dags/ and plugins/ import, also inside functions.

    Without those of OpenLineage: only its provider calls the functions that import them.

    Args:
        of_tasks: leave out what only the API server imports.
    """
    found = set()
    for path in (file for folder in ("dags", "plugins") for file in (REPOSITORY / folder).rglob("*.py")):
        if of_tasks and API_SERVER_ONLY.intersection(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                # google.cloud is no module: what is imported from it is.
                is_namespace = node.module == "google.cloud"
                found |= {f"google.cloud.{alias.name}" for alias in node.names} if is_namespace else {node.module}
    known = {"nyc_taxi", *sys.stdlib_module_names}
    return {name for name in found if name.split(".")[0] not in known and "openlineage" not in name}
