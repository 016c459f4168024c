"""The page of the comparison: what is written by hand agrees with the results, and each of its facts has a source."""

from __future__ import annotations

import re
from dataclasses import replace
from statistics import median

import pytest

from comparison.checks import MARKS
from comparison.concepts import CONCEPTS
from comparison.measurements import AS_HERE
from comparison.page import PAGE, anchor, begin, differences, end, rows, sections
from comparison.results import SIDES, Results

SIDE_OF = {"Airflow": "airflow", "Prefect": "prefect"}
ROWS = {anchor(concept.title): concept.name for concept in CONCEPTS}


def written(text: str) -> str:
    """What is written by hand: the page without its generated sections, commands, headings and addresses."""
    for name in sections(Results.read()):
        before, _, rest = text.partition(begin(name))
        text = before + rest.partition(end(name))[2]
    return re.sub(r"(?ms)^```.*?^```$|^#+ .*?$|^\[[^\]]+\]: \S+$", "", text)


def advice(text: str) -> dict[str, tuple[str, list[str]]]:
    """The lines of the table of advice: what is needed, what to take, and the anchors of the rows that say so."""
    table = text.partition("| if you need |")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {need: (take, re.findall(r"\(#([^)]+)\)", see)) for need, take, see in cells}


# The rows of figures that each line of advice without any other row stands on; less is better.
BY_FIGURES = {
    "little memory and a quick restart": ("idle_memory", "peak_memory", "warm_start"),
    "many short tasks in one run": ("task", "mapped"),
    "a run within about a second of an event": ("latency",),
    "a year of months, a run for each, as tuned here (as shipped, both take about as long)": ("months",),
}


def contradiction(results: Results, take: str, anchors: list[str]) -> str:
    """How the marks contradict a line of advice; empty if they do not."""
    names = [ROWS[each] for each in anchors if each != "figures"]
    places = {side: [MARKS.index(results.checks[side][name].outcome) for name in names] for side in SIDES}
    if take == "either":
        return "" if places["airflow"] == places["prefect"] else f"{names}: the sides have different marks"
    [other] = set(SIDES) - {SIDE_OF[take]}
    pairs = list(zip(places[SIDE_OF[take]], places[other], strict=True))
    if any(chosen > left for chosen, left in pairs):
        return f"{names}: {other} has a better mark"
    return "" if "figures" in anchors or any(chosen < left for chosen, left in pairs) else f"{names}: the same marks"


def sentences(text: str) -> list[str]:
    """The sentences of a text, the items of its lists and the lines of its tables."""
    blocks = re.split(r"\n\n|\n(?=[-|])", text)
    return [
        sentence
        for block in blocks
        for sentence in ([block] if block.startswith("|") else re.split(r"(?<=[.!?])\s+(?=[A-Z`*\[])", block))
    ]


def test_the_marks_bear_out_the_advice() -> None:
    found = advice(PAGE.read_text(encoding="utf-8"))

    assert len(found) >= 10
    assert {take for take, _ in found.values()} == {"Airflow", "Prefect", "either"}
    said = {need: contradiction(Results.read(), take, anchors) for need, (take, anchors) in found.items()}
    assert {need: why for need, why in said.items() if why} == {}


def test_the_figures_bear_out_the_advice_that_has_nothing_else() -> None:
    found = advice(PAGE.read_text(encoding="utf-8"))
    alone = {need: SIDE_OF[take] for need, (take, anchors) in found.items() if anchors == ["figures"]}
    measured = {each.name: each.runs for each in Results.read().measurements}

    assert alone.keys() == BY_FIGURES.keys()
    for need, side in alone.items():
        [other] = set(SIDES) - {side}
        for name in BY_FIGURES[need]:
            less, more = (median(measured[name][f"{each} {AS_HERE}"]) for each in (side, other))
            assert less < more, (need, name)


@pytest.mark.parametrize(
    ("take", "name", "why"),
    [
        ("Airflow", "rerun", ""),
        ("Prefect", "rerun", "airflow has a better mark"),
        ("either", "rerun", "different marks"),
        ("either", "mapping", ""),
        ("Prefect", "mapping", "the same marks"),
    ],
)
def test_advice_against_the_marks_is_found(take: str, name: str, why: str) -> None:
    [row] = [row for row, concept in ROWS.items() if concept == name]
    found = contradiction(Results.read(), take, [row])
    assert why in found
    assert bool(why) == bool(found)


def test_what_is_said_of_either_tool_has_its_source_beside_it() -> None:
    """A row of the page, a figure of the run, the tool's own documentation, or the code here that it is about."""
    told = [each for each in sentences(written(PAGE.read_text(encoding="utf-8"))) if re.search("Airflow|Prefect", each)]

    assert len(told) > 10
    # The head of a table.
    assert [each for each in told if "](" not in each and "][" not in each and not each.startswith("| |")] == []


def test_each_cell_about_operating_has_its_source() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| | Airflow | Prefect |")[2].partition("\n\n")[0]
    lines = [line.strip("| ").split(" | ")[1:] for line in table.splitlines()[2:]]

    assert len(lines) >= 5
    assert [cell for line in lines for cell in line if "](" not in cell and "][" not in cell] == []


def test_rows_that_differ_are_those_with_other_marks() -> None:
    kept = Results.read().checks
    same = {side: {name: replace(found, outcome="built in") for name, found in kept[side].items()} for side in SIDES}
    other = {**same, "prefect": {**same["prefect"], "task": replace(same["prefect"]["task"], outcome="with code")}}

    assert differences(same)[0].startswith(f"0 of {len(CONCEPTS)} rows")
    [line] = [line for line in differences(other) if line.startswith("| [")]
    assert line.startswith("| [Task](#task) | *built in*: ")
    assert "| *with code of yours*: " in line


def test_every_row_stands_once_under_its_group() -> None:
    lines = rows(Results.read().checks)

    assert [line for line in lines if line.startswith("### ")] == [
        f"### {heading}" for heading in ("Writing", "Running", "Scheduling", "Operating", "Deploying")
    ]
    assert sorted(line for line in lines if line.startswith("#### ")) == sorted(f"#### {one.title}" for one in CONCEPTS)
    place = lines.index("#### Retries with backoff")
    assert lines.index("### Running") < place < lines.index("### Scheduling")
    assert [line.split(",")[0] for line in lines[place + 4 : place + 6]] == ["- Airflow", "- Prefect"]
