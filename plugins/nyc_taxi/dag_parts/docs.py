"""The page of a DAG in the UI: the docstring of its file, with the names of its own dataset."""

from __future__ import annotations

import re

from nyc_taxi.registry.model import Dataset, LookupDataset

# What a docstring says of the zones alone, after what it says of all datasets.
_OF_ZONES = re.compile(r"\s+\(zones: [^)]*\)")


def dag_doc(doc: str | None, dataset: Dataset | None = None, dag_id: str = "") -> str:
    """Return the docstring of a DAG file as the page of one of its DAGs, with a link to its months.

    Args:
        doc: the docstring; ``<dataset>`` stands for the dataset's name, and ``(zones: ...)`` for what differs there.
        dataset: the dataset of the DAG; None if it has all of them.
        dag_id: the id of the DAG of a dataset.
    """
    # Relative to the UI's own address, which may have a prefix: its pages name that as their base.
    text, months = doc or "", "plugin/months"
    if dataset:
        text, months = text.replace("<dataset>", dataset.name), f"dags/{dag_id}/plugin/dag_months"
        if not isinstance(dataset, LookupDataset):
            text = _OF_ZONES.sub("", text)
    # First, because the UI's dialog shows only the beginning of a page without scrolling.
    return text.replace("- **Owner**", f"- **Months** [in every store]({months})\n- **Owner**", 1)
