"""The pipeline's own statements for the yellow month, rendered as a task of a run would have them."""

from __future__ import annotations

from types import SimpleNamespace

import jinja2

from benchmarks.conditions import YELLOW_MONTH
from localcloud.settings import REPOSITORY
from nyc_taxi.datasets import YELLOW
from nyc_taxi.macros import MACROS
from nyc_taxi.months import Month

FILE = YELLOW.file(Month.parse(YELLOW_MONTH))
_TEMPLATES = jinja2.Environment(  # noqa: S701 # it is SQL
    loader=jinja2.FileSystemLoader(REPOSITORY / "include" / "sql"), undefined=jinja2.StrictUndefined
)
_CONTEXT = {
    **MACROS,
    "dataset": YELLOW,
    "dag": SimpleNamespace(dag_id="benchmarks"),
    "dag_run": SimpleNamespace(partition_key=YELLOW_MONTH),
    "run_id": "benchmarks",
    "ti": SimpleNamespace(try_number=1),
}


def render(name: str) -> str:
    """The statement in the file ``name`` below ``include/sql``."""
    return _TEMPLATES.get_template(name).render(_CONTEXT)


def staging_table() -> str:
    """The run's staging table, without its dataset or schema."""
    return _TEMPLATES.from_string("{{ staging_table() }}").render(_CONTEXT)
