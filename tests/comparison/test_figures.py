"""Figures are measured in turns, one side at a time, and stand in four columns on the page."""

from __future__ import annotations

import itertools
import json
import math
import os
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.measure import MeasureError
from comparison import airflow_side, figures
from comparison.airflow_side import AirflowSide
from comparison.figures import Amounts, Probe, Row, measure, probes
from comparison.ground import Ground
from comparison.measurements import AS_SHIPPED, COLUMNS, FOR_CHECKS, Measurement, have_columns, line_through
from comparison.page import sections
from comparison.plot import write_plot
from comparison.prefect_side import ARRIVALS, _no_arrivals, environment
from comparison.results import Results
from comparison.sides import DatasetMonth, Side, SideError
from comparison.stock import AIRFLOW_WITHOUT_IMPORTS, PREFECT_HERE, airflow_as_shipped, airflow_here
from comparison.usage import cpu_seconds, cpu_seconds_of_commands
from local.airflow.environment import AirflowSettings
from local.cloud.settings import REPOSITORY, Settings

AMOUNTS = Amounts(month=DatasetMonth("green", "2020-01"), turns=5, slow_turns=1)


class Fake(Side):
    """A side that records what is done with it."""

    def __init__(self, name: str, log: list[str], *, starts: bool = True) -> None:
        self.name, self.log, self.starts = name, log, starts

    def start(self, settings: str = FOR_CHECKS) -> float:
        if not self.starts:
            raise SideError("its port is taken")
        self.log.append(f"+{self.name} {settings}")
        return 2.0

    def stop(self) -> None:
        self.log.append(f"-{self.name}")

    def run_dirs(self) -> list[Path]:
        return []


@pytest.fixture
def one_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures only how long names are, and in the slow turns twice that; the second only on Prefect."""
    found = [
        Probe((Row("short", "Short"),), lambda side: {"short": len(side.name)}),
        Probe((Row("long", "Long", "MB"),), lambda side: {"long": 2.0 * len(side.name)}, slow=True, sides=("prefect",)),
    ]
    monkeypatch.setattr(figures, "probes", lambda _: found)


def test_the_cost_of_a_task_does_not_contain_the_start_of_the_run() -> None:
    assert line_through((10, 5.0), (110, 45.0)) == (pytest.approx(0.4), pytest.approx(1.0))
    with pytest.raises(ValueError, match="same length"):
        line_through((10, 5.0), (10, 6.0))


def test_the_wait_for_a_worker_is_not_in_the_cost_of_a_task() -> None:
    class Waits(Fake):
        def chain(self, length: int) -> tuple[float, float]:
            own = 2 + 0.4 * length
            return own + (9 if length == figures.SHORT_CHAIN else 1), own

    found = figures._chains().measure(Waits("prefect", []))

    assert found == pytest.approx({"task": 0.4, "run": 11, "short_chain": 15, "long_chain": 47})


@pytest.mark.usefixtures("one_probe")
def test_no_two_sides_run_at_once_and_the_first_of_a_turn_changes() -> None:
    log: list[str] = []
    measure([Fake("airflow", log), Fake("prefect", log)], AMOUNTS)

    steps = log[2:]  # both are stopped before
    assert log[:2] == ["-airflow", "-prefect"]
    pairs = list(zip(steps[::2], steps[1::2], strict=True))
    assert len(pairs) == 5 * len(COLUMNS)
    assert all(start[1:].startswith(stop[1:]) for start, stop in pairs)
    columns = [start[1:] for start, _ in pairs]
    assert {tuple(sorted(columns[turn * 4 : turn * 4 + 4])) for turn in range(5)} == {tuple(sorted(COLUMNS))}
    assert columns[0:2] == ["airflow as here", "prefect as here"]
    assert columns[4:6] == ["prefect as shipped", "airflow as shipped"]


@pytest.mark.usefixtures("one_probe")
def test_each_column_has_its_figures() -> None:
    restart, short, long = measure([Fake("airflow", []), Fake("prefect", [])], AMOUNTS)[0]

    assert restart.runs == dict.fromkeys(COLUMNS, [2.0] * 5)
    assert short.runs == dict.fromkeys(COLUMNS, [7.0] * 5)
    assert set(short.cpu) == set(COLUMNS)
    assert long.runs == dict.fromkeys(("prefect as here", "prefect as shipped"), [14.0] * AMOUNTS.slow_turns)
    assert long.cpu == {}  # it is no time


@pytest.mark.usefixtures("one_probe")
def test_a_side_that_does_not_start_leaves_the_other_its_figures() -> None:
    log: list[str] = []
    found, failures = measure([Fake("airflow", log, starts=False), Fake("prefect", log)], AMOUNTS, only=["short"])

    assert [set(each.runs) for each in found] == [{"prefect as shipped", "prefect as here"}] * 2
    assert failures == {
        f"warm_start, airflow {settings}": "SideError: its port is taken" for settings in ("as here", "as shipped")
    }
    assert "long" not in {each.name for each in found}


def test_no_turn_begins_that_would_end_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()  # each look at it takes a second, so a turn takes one, and its look one more
    monkeypatch.setattr(figures.time, "monotonic", lambda: float(next(clock)))

    assert list(figures._turns(5, seconds=math.inf)) == [0, 1, 2, 3, 4]
    assert list(figures._turns(5, seconds=6.5)) == [0, 1, 2]
    assert list(figures._turns(5, seconds=0)) == []


def test_a_probe_that_fails_leaves_the_other_side_its_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_on_prefect(side: Side) -> dict[str, float]:
        if side.name == "airflow":
            raise SideError("a run failed")
        return {"short": 1.0}

    monkeypatch.setattr(figures, "probes", lambda _: [Probe((Row("short", "Short"),), only_on_prefect)])
    amounts = replace(AMOUNTS, turns=1, as_shipped=False)
    found, failures = measure([Fake("airflow", []), Fake("prefect", [])], amounts)

    assert found[-1].runs == {"prefect as here": [1.0]}
    assert failures == {"short, airflow as here": "SideError: a run failed"}


def test_names_of_rows_and_probes_are_distinct() -> None:
    rows = [row.name for probe in probes(AMOUNTS) for row in probe.rows]
    assert len(rows) == len(set(rows))
    assert {"task", "run", "month", "month_by_call", "months", "idle_cpu", "latency", "registered", "mapped"} <= set(
        rows
    )


def test_processor_time_includes_children_that_have_ended(tmp_path: Path) -> None:
    burn = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        (tmp_path / "one.json").write_text(json.dumps({"pid": process.pid}))
        assert process.stdout is not None
        process.stdout.readline()
        used = cpu_seconds([tmp_path])
        before = cpu_seconds_of_commands()
        process.communicate("\n")
    assert 0.3 <= used < 5
    assert cpu_seconds([tmp_path]) == 0
    assert cpu_seconds_of_commands() - before >= 0.3  # of a command that has ended


def test_as_shipped_takes_back_what_differs_from_airflows_own_configuration() -> None:
    shipped, here = airflow_as_shipped(), airflow_here()

    assert shipped["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"] == "1"
    assert shipped["AIRFLOW__CORE__PARALLELISM"] == "32"
    assert set(shipped) < set(here)
    assert all(here[name] != value for name, value in shipped.items())
    assert not {"AIRFLOW__CORE__EXECUTOR", "AIRFLOW__CORE__LOAD_EXAMPLES"} & set(shipped)
    assert "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST" not in shipped  # each start says where its DAGs are


def test_airflow_as_shipped_imports_nothing_before_the_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The imports of config/ ask the command line which component this is."""
    stack = tmp_path / "stack.py"
    stack.write_text("import sys\n__all__ = ['component']\ncomponent = sys.argv[1:]\n")
    run = runpy.run_path
    monkeypatch.setattr(runpy, "run_path", lambda _: run(str(stack)))
    monkeypatch.setattr(sys, "argv", ["airflow", "scheduler"])
    seen = []
    for variables in ({}, AIRFLOW_WITHOUT_IMPORTS):
        monkeypatch.setattr(os, "environ", variables)
        seen.append(run(str(REPOSITORY / "comparison" / "airflow_settings" / "airflow_local_settings.py"))["component"])

    assert seen == [["scheduler"], []]
    assert sys.argv[1:] == ["scheduler"]


def test_a_start_of_airflow_that_fails_leaves_prefect_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stack stops the embedded cloud, and with it the source, if its own start fails."""
    ground = Ground(
        folder=tmp_path, receiver_url="", dataset="green", month="2021-01", rows=1, prefect_url="http://127.0.0.1/api"
    )
    side = AirflowSide(ground, AirflowSettings(cloud=Settings(state_dir=tmp_path)))
    commands: list[str] = []

    def fail(*_: object) -> None:
        raise MeasureError("its port is taken")

    monkeypatch.setattr(airflow_side, "command", fail)
    monkeypatch.setattr(airflow_side.stack, "cloud", lambda _, command: commands.append(command))
    with pytest.raises(SideError, match="its port is taken"):
        side.start()
    assert commands == ["up"]


class Automations:
    """Prefect's server, as far as automations go; records whether arrivals start runs."""

    def __init__(self) -> None:
        self.enabled: list[bool] = []

    def call(self, method: str, path: str, **body: Any) -> Any:
        if method == "POST":
            assert body == {"automations": {"name": {"any_": [ARRIVALS]}}}
            return [{"id": "one"}]
        assert (method, path) == ("PATCH", "/automations/one")
        return self.enabled.append(body["enabled"])


def test_a_direct_call_is_the_only_hand_over_and_afterwards_arrivals_count_again() -> None:
    plan = yaml.safe_load((REPOSITORY / "comparison" / "prefect_flows" / "prefect.yaml").read_text())
    assert ARRIVALS in {one["name"] for deployment in plan["deployments"] for one in deployment.get("triggers", [])}

    api = Automations()
    with pytest.raises(SideError), _no_arrivals(api):  # type: ignore[arg-type]
        raise SideError(f"the run failed: {api.enabled}")
    assert api.enabled == [False, True]


def test_prefect_as_shipped_has_none_of_our_settings(tmp_path: Path) -> None:
    settings = AirflowSettings(cloud=Settings(state_dir=tmp_path))
    here, shipped = (
        environment(settings, home=tmp_path, url="http://127.0.0.1/api", as_shipped=stock) for stock in (False, True)
    )
    assert {name: value for name, value in here.items() if name not in shipped} == PREFECT_HERE
    assert {name: here[name] for name in shipped} == shipped


def test_while_it_is_measured_airflow_looks_at_no_folder_more_often_than_it_is_set_to(tmp_path: Path) -> None:
    ground = Ground(
        folder=tmp_path, receiver_url="", dataset="green", month="2021-01", rows=1, prefect_url="http://127.0.0.1/api"
    )
    side = AirflowSide(ground, AirflowSettings(cloud=Settings(state_dir=tmp_path)))
    bundles = json.loads(side._environment_of_figures()["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])

    assert {each["name"] for each in bundles} == {"dags-folder", "examples", "dropped"}
    assert "refresh_interval" not in json.dumps(bundles)
    here = side._environment_of_figures()
    assert not {name for name in here if name.endswith("_INTERVAL")}
    side.settings_of = AS_SHIPPED
    more = {name: value for name, value in side._environment_of_figures().items() if name not in here}
    assert more == {**airflow_as_shipped(), **AIRFLOW_WITHOUT_IMPORTS}


def figures_of(measurements: list[Measurement]) -> str:
    return "\n".join(sections(replace(Results.read(), measurements=measurements))["figures"])


def test_a_row_of_the_page_has_median_spread_and_processor_time(tmp_path: Path) -> None:
    runs = {"airflow as shipped": [5.0, 1.0, 3.0], "airflow as here": [2.0], "prefect as here": [4.0, 6.0]}
    one = Measurement(name="a", title="A", unit="s", runs=runs, cpu={"airflow as here": [1.5]}, note="why", measured="")
    text = figures_of([one])

    assert "| what | unit | Airflow as shipped | Airflow as here | Prefect as shipped | Prefect as here | |" in text
    assert "| A | s | 3 (1 to 5) | 2, CPU 1.5, once | not measured | 5 (4 to 6), 2 runs | why |" in text
    assert "`AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME` 1 (here 0.3)" in text
    assert "`PREFECT_WORKER_QUERY_SECONDS` 1" in text
    assert "imports before the fork" in text
    write_plot(replace(Results.read(), measurements=[one]), tmp_path / "plot.svg")
    assert "Airflow as shipped" in (tmp_path / "plot.svg").read_text()


def test_figures_of_before_there_were_columns_stand_as_they_are() -> None:
    text = figures_of([Measurement(name="a", title="A", unit="s", runs={"airflow": [1.0], "prefect": [2.0]})])

    assert "| A | s | 1 | 2 |  |" in text
    assert "as shipped:" in text
    assert "Airflow as here" not in text


def test_figures_alone_keep_the_checks_and_rows_that_they_lack() -> None:
    former = Measurement(name="c", title="C", unit="s", runs={"airflow": [1.0], "prefect": [2.0]})
    kept = replace(Results.read(), measurements=[former])
    runs = {"airflow as here": [1.0]}
    new = [Measurement(name="a", title="A", unit="s", runs=runs, measured="2031-01-01")]
    failures = {"a, airflow as here": "it failed", "course": "failed"}
    first = replace(kept, failures=failures).with_figures_of(replace(kept, measurements=new, failures={}))

    assert first.measurements == new  # the former figures have no columns
    assert have_columns(first.measurements)
    assert first.failures == {"course": "failed"}
    assert first.date == kept.date
    assert {name: one.note for name, one in first.checks["airflow"].items()} == {
        name: one.note for name, one in kept.checks["airflow"].items()
    }
    shipped = [replace(new[0], runs={"airflow as shipped": [3.0]}, cpu={}, measured="2031-01-03")]
    [both] = first.with_figures_of(replace(kept, measurements=shipped, failures={})).measurements
    assert both.runs == {"airflow as here": [1.0], "airflow as shipped": [3.0]}
    assert both.days == {"airflow as here": "2031-01-01"}
    assert "| 3 | 1, of 2031-01-01 |" in figures_of([both])
    other_amount = [replace(shipped[0], title="Twice A")]
    assert first.with_figures_of(replace(kept, measurements=other_amount, failures={})).measurements == other_amount
    later = [Measurement(name="b", title="B", unit="s", runs=runs, measured="2031-02-02")]
    second = first.with_figures_of(replace(kept, measurements=later, failures={}))
    assert [each.name for each in second.measurements] == ["a", "b"]
    text = sections(second)
    assert any("of 2031-01-01" in line for line in text["figures"])
    assert any("The figures are of 2031-02-02." in line for line in text["summary"])
