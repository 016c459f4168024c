"""The page of a DAG in the UI has the names of its own dataset."""

from __future__ import annotations

from nyc_taxi.dag_parts.docs import dag_doc, file_doc
from nyc_taxi.registry.datasets import GREEN, ZONES

DOC = "Load {a month} (zones: the\nzones) into {`<dataset>_trips`}\n  (zones: `taxi_zones`).\n\n- **Owner** me\n"


def test_a_page_names_its_dataset_and_links_to_its_months() -> None:
    assert dag_doc(DOC, GREEN, "green_web_to_gcs") == (
        "Load a month into `green_trips`.\n\n"
        "- **Months** [in every store](dags/green_web_to_gcs/plugin/dag_months)\n- **Owner** me\n"
    )


def test_the_page_of_the_zones_says_what_differs_there_and_nothing_of_trips() -> None:
    assert dag_doc(DOC, ZONES, "zones_web_to_gcs") == (
        "Load the\nzones into `taxi_zones`.\n\n"
        "- **Months** [in every store](dags/zones_web_to_gcs/plugin/dag_months)\n- **Owner** me\n"
    )


def test_the_text_of_a_file_says_both() -> None:
    assert file_doc(DOC).startswith("Load a month (zones: the\nzones) into `<dataset>_trips`\n  (zones: `taxi")


def test_the_page_of_all_datasets_links_to_all_months() -> None:
    assert dag_doc("Count.\n\n- **Owner** me\n") == (
        "Count.\n\n- **Months** [in every store](plugin/months)\n- **Owner** me\n"
    )
