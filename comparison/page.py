"""Writes the generated sections of docs/comparison.md: the rows that differ, figures, months, all rows and summary.

What is written by hand stands between these sections, and only in the page itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks import system
from benchmarks.measure import median
from benchmarks.page import figure
from comparison.checks import Outcome, Result
from comparison.concepts import CONCEPTS, GROUPS, Concept, Group, Lines
from comparison.measurements import COLUMNS, Measurement, have_columns, lines_of_code
from comparison.results import ORCHESTRATORS, SIDES, Results
from comparison.stock import PREFECT_HERE, airflow_as_shipped, airflow_here
from local.cloud.settings import REPOSITORY

PAGE = REPOSITORY / "docs" / "comparison.md"
MARKS: dict[Outcome, str] = {
    "built in": "*built in*",
    "with code": "*with code of yours*",
    "not possible": "*not possible*",
    "not run here": "*not run here*",
    "failed": "failed",
    "not run": "not run",
}
HEADINGS: dict[Group, str] = {
    "write": "Writing",
    "run": "Running",
    "schedule": "Scheduling",
    "operate": "Operating",
    "deploy": "Deploying",
}
_TITLES = {"airflow": "Airflow", "prefect": "Prefect"}
Checks = Mapping[str, Mapping[str, Result]]


def begin(section: str) -> str:
    """The line that starts a generated section."""
    return f"<!-- {section}: begin; written by make compare -->"


def end(section: str) -> str:
    """The line that ends a generated section."""
    return f"<!-- {section}: end -->"


def write_page(results: Results) -> None:
    """Rewrite the generated sections of the page."""
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


def page_with(text: str, results: Results) -> str:
    """Replace the generated sections of the page ``text``.

    Raises:
        ValueError: the page lacks a section.
    """
    for name, lines in sections(results).items():
        head, first, rest = text.partition(begin(name))
        _, last, tail = rest.partition(end(name))
        if not first or not last:
            raise ValueError(f"{PAGE.name} lacks the lines {begin(name)} and {end(name)}; add both")
        text = "\n".join([head + first, "", *lines, "", last + tail])
    return text


def sections(results: Results) -> dict[str, list[str]]:
    """The lines of each generated section."""
    return {
        "differences": differences(results.checks),
        "figures": _figures(results),
        "months": _months(results),
        "rows": rows(results.checks),
        "summary": _summary(results),
    }


def anchor(title: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def differences(checks: Checks) -> list[str]:
    """A table of the rows whose marks differ between the sides."""
    differ = [each for each in CONCEPTS if len({_outcome(checks, side, each) for side in SIDES}) > 1]
    return [
        f"{len(differ)} of {len(CONCEPTS)} rows; in the other {len(CONCEPTS) - len(differ)}, both sides have the same "
        "mark.",
        "",
        "| what | Airflow | Prefect |",
        "| --- | --- | --- |",
        *(_difference(each, checks) for each in differ),
    ]


def _difference(concept: Concept, checks: Checks) -> str:
    cells = [f"[{concept.title}](#{anchor(concept.title)})", *(_finding(checks, side, concept) for side in SIDES)]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def rows(checks: Checks) -> list[str]:
    """All rows, grouped by what somebody does who needs them: each with its purpose and the finding of each side."""
    lines = []
    for group in GROUPS:
        lines += [f"### {HEADINGS[group]}", ""]
        for concept in (each for each in CONCEPTS if each.group == group):
            lines += [f"#### {concept.title}", "", concept.sentence, ""]
            lines += [f"- {_TITLES[side]}, {_finding(checks, side, concept)}. {_link(concept, side)}" for side in SIDES]
            lines.append("")
    return lines[:-1]


def _outcome(checks: Checks, side: str, concept: Concept) -> Outcome:
    result = checks[side].get(concept.name)
    return result.outcome if result else "not run"


def _finding(checks: Checks, side: str, concept: Concept) -> str:
    """The mark of a side and its clause."""
    result = checks[side].get(concept.name)
    return ": ".join([MARKS[_outcome(checks, side, concept)], *([result.note] if result else [])])


def _link(concept: Concept, side: str) -> str:
    lines: Lines = getattr(concept, side)
    return f"[{lines.path.rpartition('/')[2]}](../{lines.path}#L{lines.number()})"


def _summary(results: Results) -> list[str]:
    machine = results.machine
    kind = "A quick run, whose figures are no measure of speed," if results.quick else "A full run"
    on = f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']:.0f} GiB, {machine['os']}"
    lines = [
        f"{kind} of {results.date[:10]}, {results.seconds / 60:.0f} minutes, on {on}; source: {results.source}.",
        *([f"The figures are of {day}."] if (day := _figures_day(results)) != results.date[:10] else []),
        f"Before they were measured, the load of the machine was {machine['load_before']:.1f}.",
        "",
        f"The checks ran on {_checked_on(results)}.",
        "",
        "Versions of this run, by environment:",
        "",
        *(f"- {title}: {_versions(results, names)}." for title, names in _environments().items()),
    ]
    return [*lines, *(f"- {name}: {' '.join(reason.split())}" for name, reason in results.failures.items())]


def _checked_on(results: Results) -> str:
    """The orchestrators' versions that the checks ran on, and when; single checks may be newer than the figures."""
    found = []
    for side, package in ORCHESTRATORS.items():
        of_side = results.checks[side].values()
        counted = Counter(
            (each.version or results.versions[package], each.day or results.date[:10]) for each in of_side
        )
        ran = counted.most_common()
        found += [f"{package} {version} on {day} ({count} of the checks)" for (version, day), count in ran]
    return ", ".join(found)


def _environments() -> dict[str, Sequence[str]]:
    return {
        "Airflow": ("python", *system.OURS),
        "Prefect": system.PREFECT,
        "The embedded cloud": (*system.CLOUD, "postgres"),
    }


def _versions(results: Results, names: Sequence[str]) -> str:
    return ", ".join(f"{name} {results.versions[name]}" for name in sorted(names) if name in results.versions)


def _months(results: Results) -> list[str]:
    stores = list(results.loaded[0].rows["airflow"]) if results.loaded else []
    lines = [f"| month | {' | '.join(stores)} | both identical |", "| --- | ---: | ---: | ---: | --- |"]
    for each in results.loaded:
        rows = (each.rows["airflow"][store] for store in stores)
        counts = " | ".join(f"{count:,}" for count in rows)
        lines.append(f"| {each.dataset} {each.month} | {counts} | {'yes' if each.identical else 'no'} |")
    if results.course_rerun:
        once, twice = results.course_rerun
        lines += [
            "",
            f"The course's flows, run twice for one of these months, left {once:,} rows in BigQuery after the first "
            f"run and {twice:,} after the second, because they append. Both versions above replace the month.",
        ]
    return lines


def _figures(results: Results) -> list[str]:
    rows = _four_columns(results) if have_columns(results.measurements) else _two_columns(results)
    code = lines_of_code()
    return [
        *rows,
        "",
        "![The figures of both sides](comparison.svg)",
        "",
        f"The version's own code, without blank lines, comments, docstrings and shared code: {code['airflow']} lines "
        f"for Airflow, {code['prefect']} for Prefect, {code['course']} in the course. Airflow's also waits for "
        "publication, skips unchanged months in BigQuery and Postgres, warns in Postgres, and loads the zones; "
        "Prefect's saves its blocks, without what masks secrets, rotates their key and imports everything for CI.",
    ]


def _four_columns(results: Results) -> list[str]:
    """The figures of each side as shipped and as here, and what differs between these."""
    most = _usual_runs(results)
    return [
        f"| what | unit | {' | '.join(COLUMNS.values())} | |",
        f"| --- | --- |{' ---: |' * len(COLUMNS)} --- |",
        *(_figure(each, results) for each in results.measurements if each.runs),
        "",
        "Measured in turns, one side while the other is stopped; every 0.1 s both are asked whether a run has ended. "
        f"In each cell: the median of {most} runs, unless the cell says of how many, and their range; after *CPU*, the "
        "median of the processor seconds of all of the side's processes and of the commands that use it.",
        "",
        *_settings(),
    ]


def _figure(each: Measurement, results: Results) -> str:
    usual = _usual_runs(results)
    cells = " | ".join(
        _cell(each.runs.get(column), each.cpu.get(column), each.days.get(column, ""), usual) for column in COLUMNS
    )
    is_older = (each.measured or results.date[:10]) != _figures_day(results)
    notes = [*([each.note] if each.note else []), *([f"of {each.measured}"] if is_older else [])]
    return f"| {each.title} | {each.unit} | {cells} | {'; '.join(notes)} |"


def _cell(values: list[float] | None, cpu: list[float] | None, day: str, usual: int) -> str:
    """The figures of one column, with their day if that is not the row's, and their number if it is not the usual."""
    if not values:
        return "not measured"
    count = "once" if len(values) == 1 else f"{len(values)} runs"
    more = [
        *([f"CPU {figure(median(cpu))}"] if cpu else []),
        *([count] if len(values) != usual else []),
        *([f"of {day}"] if day else []),
    ]
    return ", ".join([_runs(values), *more])


def _usual_runs(results: Results) -> int:
    """How often a figure was measured; cells with another number say so."""
    return max(len(values) for each in results.measurements for values in each.runs.values())


def _figures_day(results: Results) -> str:
    """The day of the newest figures."""
    return max((each.measured or results.date[:10] for each in results.measurements), default=results.date[:10])


def _settings() -> list[str]:
    """What differs between a side as shipped and as here."""
    here, shipped = airflow_here(), airflow_as_shipped()
    ours = ", ".join(f"`{name}` {value} (here {here[name]})" for name, value in shipped.items())
    prefects = ", ".join(f"`{name}` {value}" for name, value in PREFECT_HERE.items())
    return [
        f"- Airflow as shipped, [by its own configuration](../comparison/stock.py): {ours}. "
        "Without the imports before the fork, of [config/airflow_local_settings.py]"
        "(../config/airflow_local_settings.py): each task imports what it needs.",
        f"- Prefect as here, [which as shipped has none of these](../comparison/stock.py): {prefects}.",
        "- In all columns: Postgres for the metadata, no examples, no telemetry, guards against web pages, the same "
        "flows and DAGs. Airflow's figures include the stack's watcher, which restarts what has died.",
    ]


def _two_columns(results: Results) -> list[str]:
    """The figures of a run of before there were four columns."""
    lines = [
        "These figures are of before each side was also measured as shipped: both as here, in turns, while both ran. "
        "`.venv/bin/python -m comparison --figures` replaces them.",
        "",
        "| what | unit | Airflow | Prefect | |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for each in (each for each in results.measurements if each.runs):
        figures = " | ".join(_runs(each.runs.get(side)) for side in SIDES)
        lines.append(f"| {each.title} | {each.unit} | {figures} | {each.note} |")
    return lines


def _runs(values: list[float] | None) -> str:
    """The median, followed by the range if there are several runs."""
    if not values:
        return "-"
    if len(values) == 1:
        return figure(values[0])
    return f"{figure(median(values))} ({figure(min(values))} to {figure(max(values))})"
