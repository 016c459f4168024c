"""Rows, results.json, and what is shown of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from benchmarks import __main__ as command
from benchmarks import page
from benchmarks.page import BEGIN, END, figure, page_with, section, table
from benchmarks.plot import write_plot
from benchmarks.results import (
    RESULTS,
    SCHEMA,
    Benchmark,
    Measured,
    Results,
    Row,
    Target,
    at_most,
    of_baseline_at_most,
    peak_at_most,
    times_at_least,
)
from benchmarks.rows import BENCHMARKS

MACHINE = {"cpu": "A Processor", "cores": 2, "memory_gib": 24.0, "os": "An OS", "load_before": 0.25}
NAMES = ("python", "apache-airflow", "apache-airflow-providers-google", "pandas", "pyarrow", "postgres")


def benchmark(run: Callable[[], Measured], *targets: Target, **differences: object) -> Benchmark:
    values = {"name": "speed", "title": "Go", "against": "walking", "unit": "s", **differences}
    return Benchmark(run=lambda lab: run(), targets=targets, **values)  # type: ignore[arg-type]


def measured_row(*targets: Target, **differences: object) -> Row:
    measured = Measured(
        ours=[2.0, 1.0, 1.5], baseline=[12.0, 15.0, 18.0], peak_mb=100.0, baseline_peak_mb=900.0, note="downhill"
    )
    return benchmark(lambda: measured, *targets, **differences).measure(None)  # type: ignore[arg-type]


def failed_row() -> Row:
    def fail() -> Measured:
        raise OSError("the road\nis closed")

    return benchmark(fail, at_most(3, "s"), name="closed").measure(None)  # type: ignore[arg-type]


def results(*rows: Row, **differences: object) -> Results:
    values = {
        "date": "2026-01-02T03:04:05+00:00",
        "quick": False,
        "seconds": 1234.5,
        "machine": MACHINE,
        "versions": dict.fromkeys(NAMES, "1.2"),
        "conditions": {"repeats": 3},
        "rows": list(rows),
    }
    return Results(**{**values, **differences})  # type: ignore[arg-type]


def test_rows_that_are_measured_again_say_when_and_leave_the_others() -> None:
    machine = {"cpu": "one", "load_before": 0.25}
    busy = {"cpu": "another", "load_before": 1.5}
    kept = Results(
        date="2026-01-01T00:00:00+00:00", quick=False, seconds=1, machine=machine, versions={}, conditions={"rows": 1},
        rows=[Row(name="a", unit="s", ours=1.0), Row(name="b", unit="s", ours=2.0)],
    )  # fmt: skip
    new = [Row(name="b", unit="s", ours=3.0), Row(name="c", unit="s", ours=4.0)]
    later = replace(kept, date="2026-01-02T00:00:00+00:00", machine=busy, rows=new)
    measured = {"measured": "2026-01-02T00:00:00+00:00", **busy}

    assert [(row.name, row.ours, row.more) for row in kept.renewed_by(later).rows] == [
        ("a", 1.0, {}),
        ("b", 3.0, measured),
        ("c", 4.0, measured),
    ]
    with pytest.raises(ValueError, match="other conditions"):
        kept.renewed_by(replace(later, conditions={"rows": 2}))


def test_a_row_holds_medians_spreads_and_the_ratio() -> None:
    row = measured_row(times_at_least(8), peak_at_most(256))
    assert (row.ours, row.baseline, row.ratio) == (1.5, 15.0, 10.0)
    assert (row.runs, row.spread, row.baseline_spread) == (3, 1.0, 6.0)
    assert (row.must_reach, row.reached, row.outcome) == ("≥ 8 times, ≤ 256 MB", True, "reached")


def test_a_row_of_which_more_is_better() -> None:
    assert measured_row(better="higher").ratio == 0.1


def test_a_row_without_a_baseline_has_no_ratio() -> None:
    row = benchmark(lambda: Measured(ours=[4.0]), at_most(4, "s")).measure(None)  # type: ignore[arg-type]
    assert (row.ours, row.baseline, row.ratio, row.baseline_spread) == (4.0, None, None, None)
    assert row.reached is True


@pytest.mark.parametrize(
    ("target", "reached"),
    [
        (times_at_least(10), True),
        (times_at_least(10.1), False),
        (at_most(1.5, "s"), True),
        (at_most(1.4, "s"), False),
        (of_baseline_at_most(0.1), True),
        (of_baseline_at_most(0.09), False),
        (peak_at_most(100), True),
        (peak_at_most(99), False),
    ],
)
def test_a_target_is_reached_or_missed(target: Target, reached: bool) -> None:
    row = measured_row(target)
    assert row.reached is reached
    assert row.outcome == ("reached" if reached else "missed")


def test_one_missed_target_is_enough() -> None:
    assert measured_row(at_most(99, "s"), at_most(1, "s")).outcome == "missed"


def test_a_row_without_a_target_has_no_outcome() -> None:
    assert (measured_row().reached, measured_row().outcome) == (None, "")


def test_a_row_that_fails_tells_why() -> None:
    row = failed_row()
    assert (row.ours, row.baseline, row.ratio, row.runs, row.spread) == (None, None, None, 0, None)
    assert (row.error, row.outcome, row.must_reach) == ("OSError: the road\nis closed", "failed", "≤ 3 s")
    assert results(row, measured_row()).failed
    assert not results(measured_row(at_most(1, "s"))).failed


def test_a_row_that_fails_loses_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> Measured:
        raise OSError("closed")

    rows = [benchmark(fail, name="first"), benchmark(lambda: Measured(ours=[1.0]), name="second")]
    (tmp_path / "performance.md").write_text(f"{BEGIN}\n{END}\n")
    monkeypatch.setattr(command, "BENCHMARKS", rows)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(command, "write_plot", lambda results: None)
    monkeypatch.setattr(command, "write_scale_page", lambda results: None)
    monkeypatch.setattr(page, "PAGE", tmp_path / "performance.md")
    monkeypatch.setattr(command, "raise_on_signals", lambda: None)
    monkeypatch.setattr("benchmarks.lab.Lab.down", lambda self: None)
    assert command.main(["--quick"]) == 1
    assert [(row.name, row.error, row.ours) for row in Results.read(tmp_path / "results.json").rows] == [
        ("first", "OSError: closed", None),
        ("second", None, 1.0),
    ]
    assert "first failed: OSError: closed" in capsys.readouterr().out

    rows[1:1] = [benchmark(lambda: Measured(ours=[2.0]), name="new")]
    command.main(["--quick", "--only", "new", "--renew"])
    assert [row.name for row in Results.read(tmp_path / "results.json").rows] == ["first", "new", "second"]


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    written = results(measured_row(), failed_row())
    path.write_text(written.to_json())
    read = Results.read(path)
    assert read.to_json() == written.to_json()
    assert read.rows[1] == replace(written.rows[1], ours_runs=[], baseline_runs=[])


def test_figures_are_written_with_five_digits() -> None:
    row = json.loads(results(Row(name="a", unit="s", ours=1.23456789, ours_runs=[123456.7])).to_json())["rows"][0]
    assert (row["ours"], row["ours_runs"]) == (1.2346, [123460.0])


@pytest.mark.parametrize("written", [results(measured_row(), failed_row()), results(quick=True)])
def test_results_follow_their_schema(written: Results) -> None:
    jsonschema.validate(json.loads(written.to_json()), json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize("missing", ["name", "unit", "ours", "baseline", "ratio", "runs", "spread"])
def test_a_row_that_lacks_a_key_does_not(missing: str) -> None:
    content = json.loads(results(measured_row()).to_json())
    del content["rows"][0][missing]
    with pytest.raises(jsonschema.ValidationError, match=f"'{missing}' is a required property"):
        jsonschema.validate(content, json.loads(SCHEMA.read_text()))


def test_the_table_shows_each_row_and_what_became_of_it() -> None:
    shown = table(results(measured_row(times_at_least(20)), failed_row())).splitlines()
    assert shown[0] == (
        "2026-01-02, a full run, 21 minutes: 2 cores (A Processor), 24 GiB, An OS; load before the run 0.25."
    )
    assert " ".join(shown[3].split()) == "speed s 1.5 1 15 6 10 3 100 / 900 ≥ 20 times missed"
    assert " ".join(shown[4].split()) == "closed s - - - - - 0 ≤ 3 s failed"
    assert shown[6:] == ["speed: downhill", "closed failed: OSError: the road is closed"]


def test_the_remarks_tell_of_later_rows_and_of_other_settings() -> None:
    more = {
        "measured": "2026-01-02T03:04:05+00:00",
        "cpu": "A Processor",
        "load_before": 0.25,
        "without": {"the wheels": 20.0},
        "by_setting": {"2 gears": {"uphill, s": 30.0, "downhill, s": 1.234}},
    }
    assert page.remarks(results(Row(name="speed", unit="s", ours=1.0, more=more))) == [
        "speed was measured apart from the full run: 2026-01-02T03:04 UTC, A Processor, load before it 0.25",
        "speed without the wheels: 20 s",
        "speed at 2 gears: uphill, s 30; downhill, s 1.23",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0, "0"), (0.012345, "0.0123"), (12.345, "12.3"), (123456.7, "123,457")]
)
def test_a_figure_has_three_digits_that_count(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_only_the_section_of_the_page_is_replaced() -> None:
    assert page_with(f"before\n{BEGIN}\nold\n{END}\nafter\n", "new") == "before\nnew\nafter\n"
    with pytest.raises(ValueError, match="lacks the lines"):
        page_with(f"before\n{BEGIN}\n", "new")


def test_the_page_says_what_results_json_says() -> None:
    text = page.PAGE.read_text()
    assert text == page_with(text, section(Results.read(), BENCHMARKS)), "stale: .venv/bin/python -m benchmarks report"


def test_the_results_follow_their_schema_and_are_of_the_benchmarks() -> None:
    content = json.loads(RESULTS.read_text())
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    names = [row["name"] for row in content["rows"]]
    assert names == [benchmark.name for benchmark in BENCHMARKS if benchmark.name in names]
    assert len(names) >= 12


def test_the_page_names_the_benchmarks_that_were_not_measured() -> None:
    measured, new = (benchmark(lambda: Measured(ours=[1.0]), name=name) for name in ("measured", "new"))
    shown = section(results(measured.row(Measured(ours=[1.0]))), [measured, new])
    assert "- new has not been measured yet" in shown
    assert "measured has not" not in shown


def test_the_page_explains_each_benchmark() -> None:
    text = page.PAGE.read_text().partition(END)[2]
    assert [each.name for each in BENCHMARKS if f"| `{each.name}` |" not in text] == []


def test_the_plot_of_the_same_results_is_the_same(tmp_path: Path) -> None:
    drawn = results(measured_row(times_at_least(20)), failed_row())
    for name in ("one.svg", "two.svg"):
        write_plot(drawn, tmp_path / name)
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    assert "10 times" in text
    assert "closed" not in text
