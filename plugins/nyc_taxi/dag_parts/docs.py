"""The page of a DAG in the UI: the docstring of its file, with the names of its own dataset."""

from __future__ import annotations

import re

from nyc_taxi.registry.model import Dataset, LookupDataset

# What a docstring says of trips, and after it what it says of the zones in its place.
_OF_EACH = re.compile(r"\{([^{}]*)\}\s+\(zones: ([^()]*)\)")


def file_doc(doc: str) -> str:
    """Return the docstring of a DAG file for a reader of all its DAGs: without the braces of what is said of trips."""
    return _OF_EACH.sub(lambda found: found[0].replace("{", "").replace("}", ""), doc)


def dag_doc(doc: str | None, dataset: Dataset | None = None, dag_id: str = "") -> str:
    """Return the docstring of a DAG file as the page of one of its DAGs, with a link to its months.

    Args:
        doc: the docstring; ``<dataset>`` stands for the dataset's name, and ``{A} (zones: B)`` for B on the page of the
            zones and for A on the others.
        dataset: the dataset of the DAG; None if it has all of them.
        dag_id: the id of the DAG of a dataset.
    """
    # Relative to the UI's own address, which may have a prefix: its pages name that as their base.
    text, months = doc or "", "plugin/months"
    if dataset:
        text, months = text.replace("<dataset>", dataset.name), f"dags/{dag_id}/plugin/dag_months"
        text = _OF_EACH.sub(r"\2" if isinstance(dataset, LookupDataset) else r"\1", text)
    # First, because the UI's dialog shows only the beginning of a page without scrolling.
    return text.replace("- **Owner**", f"- **Months** [in every store]({months})\n- **Owner**", 1)
