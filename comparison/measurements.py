"""The form of a figure, the columns in which figures stand, and the lines of code of each version."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from local.cloud.settings import REPOSITORY

AS_SHIPPED, AS_HERE = "as shipped", "as here"
# As here, and with what the checks need beside: code from git, and new files that are found within seconds.
FOR_CHECKS = "for checks"
# A column's name, as in the results, and its title on the page.
COLUMNS = {
    f"{side} {settings}": f"{side.title()} {settings}"
    for side in ("airflow", "prefect")
    for settings in (AS_SHIPPED, AS_HERE)
}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One figure of both sides.

    Attributes:
        name: its name.
        title: what is measured, for the page.
        unit: the unit of the figures.
        runs: the figures by column; a column that was not measured or failed is missing. Results of before there were
            columns have them by side.
        cpu: the processor seconds of all of the side's processes during each run, by column; empty if they say nothing.
        note: what a reader must know about it.
        measured: the day, ISO 8601, UTC; empty for the day of the results.
        days: the day of each column that was not measured on that day, but before.
    """

    name: str
    title: str
    unit: str
    runs: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""
    measured: str = ""
    days: dict[str, str] = field(default_factory=dict)

    def after(self, kept: Measurement) -> Measurement:
        """This row with the columns that only the kept one has, unless that is of other amounts."""
        if kept.title != self.title:
            return self
        older = {column: kept.days.get(column, kept.measured) for column in kept.runs if column not in self.runs}
        return replace(
            self,
            runs={**{column: kept.runs[column] for column in older}, **self.runs},
            cpu={**{column: kept.cpu[column] for column in older if column in kept.cpu}, **self.cpu},
            days={column: day for column, day in older.items() if day != self.measured},
        )


def have_columns(measurements: Sequence[Measurement]) -> bool:
    """Whether figures stand in the four columns, and not only one for each side, as before there were columns."""
    return any(column in COLUMNS for each in measurements for column in each.runs)


def line_through(short: tuple[int, float], long: tuple[int, float]) -> tuple[float, float]:
    """The slope and the intercept of the line through two points: seconds for one task more, and for none.

    Raises:
        ValueError: both chains have the same length.
    """
    if short[0] == long[0]:
        raise ValueError("two chains of the same length have no line")
    slope = (long[1] - short[1]) / (long[0] - short[0])
    return slope, short[1] - slope * short[0]


# Each version's own code, without what both share. Tests, examples and this comparison count for neither.
CODE = {
    "airflow": (
        "dags/*.py",
        "plugins/nyc_taxi/common/skip.py",
        "plugins/nyc_taxi/dag_parts/*.py",
        "plugins/nyc_taxi/parquet/to_parquet.py",
        "plugins/nyc_taxi/rollup/whole_years.py",
        "plugins/nyc_taxi/source/http_to_local.py",
        "plugins/nyc_taxi/source/publication_*.py",
        "plugins/nyc_taxi/stores/audit.py",
        "plugins/nyc_taxi/stores/lake_to_bigquery.py",
        "plugins/nyc_taxi/stores/skip_unchanged.py",
        "plugins/nyc_taxi/stores/*/check_*.py",
        "plugins/nyc_taxi/stores/bigquery/publish.py",
        "plugins/nyc_taxi/stores/postgres/parquet_to_postgres.py",
    ),
    "prefect": ("comparison/prefect_flows/*.py", "comparison/prefect_flows/prefect.yaml", "comparison/statements.py"),
    "course": (
        "comparison/course_flows/files.py",
        "comparison/course_flows/cloud.py",
        "comparison/course_flows/flows.py",
    ),
}
# Neither examples nor what is measured belongs to the pipeline, nor does what only a row of the page needs.
_NOT_CODE = frozenset(
    {
        "called.py",
        "examples.py",
        "figures.py",
        "importable.py",
        "in_processes.py",
        "masking.py",
        "rollup.py",
        "rotation.py",
        "starts_and_limits.py",
        "whole_years.py",
    }
)


def lines_of_code() -> dict[str, int]:
    """Count each version's lines of code, without blank lines, comments and docstrings.

    The yearly rollup is left out: only the Airflow version has it.
    """
    return {
        version: sum(
            count_lines(path)
            for pattern in patterns
            for path in sorted(REPOSITORY.glob(pattern))
            if path.name not in _NOT_CODE
        )
        for version, patterns in CODE.items()
    }


def count_lines(path: Path) -> int:
    """Count the lines of code in a Python or YAML file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))
    lines: set[int] = set()
    begins_statement = True
    nothing = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in nothing or token.type == tokenize.ENDMARKER:
            begins_statement = begins_statement or token.type == tokenize.NEWLINE
            continue
        # A statement that starts with a string is a docstring.
        if not (begins_statement and token.type == tokenize.STRING):
            lines.update(range(token.start[0], token.end[0] + 1))
        begins_statement = False
    return len(lines)
