"""Regenerates the golden files: run ``python -m tests.dags.regenerate_golden`` in the repository's root.

Read the diff before you commit it: it shows what the tasks will do differently.
"""

from __future__ import annotations

import sys

from tests.conftest import REPOSITORY, pytest_unconfigure

sys.path.insert(0, str(REPOSITORY / "plugins"))

from airflow.dag_processing.dagbag import DagBag

from tests.dags.rendering import GOLDEN, golden_text, render, run_kinds


def main() -> int:
    bag = DagBag()
    for file, error in bag.import_errors.items():
        print(f"error: {file}: {error}", file=sys.stderr)
    if bag.import_errors:
        return 1
    wanted = {f"{dag_id}.json": dag for dag_id, dag in bag.dags.items()}
    for path in GOLDEN.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, dag in wanted.items():
        (GOLDEN / name).write_text(golden_text(render(dag, **run_kinds(dag)["partition_key"])))
    print(f"{len(wanted)} golden files")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        pytest_unconfigure()
