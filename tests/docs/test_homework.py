"""The answers of the homework page: counted in real months where there are any, and its code, run."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.sdk import DAG
from airflow.timetables.base import DagRunInfo, TimeRestriction

from nyc_taxi.dag_parts import notifications
from nyc_taxi.dag_parts.timetables import MonthlyTimetable
from nyc_taxi.parquet.convert import to_parquet
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.datasets import GREEN, YELLOW
from nyc_taxi.registry.model import TripDataset
from nyc_taxi.registry.months import Month

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "homework.md").read_text(encoding="utf-8")
ANSWERS = dict(re.findall(r"(?m)^\| \[(\d)\]\(.+?\) \| .+ \| (.+) \|$", PAGE))
# A whole month of yellow trips of 2019 has about a hundred megabytes, a sample less than one.
SAMPLE_BYTES = 10**6
SAMPLE_ROWS = 10_000


def test_each_question_has_an_answer() -> None:
    assert list(ANSWERS) == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize(
    ("question", "dataset", "months"),
    [
        ("1", GREEN, ["2020-01"]),
        ("3", YELLOW, ["2019-02", "2019-03"]),
        ("4", GREEN, ["2020-11"]),
        ("5", GREEN, ["2019-04"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_real_months_have_as_many_rows(
    tlc_data: Path, tmp_path: Path, question: str, dataset: TripDataset, months: list[str]
) -> None:
    files = [dataset.file(Month.parse(month)) for month in months]
    sources = [tlc_data / file.source_path(Layout.MIRROR) for file in files]
    if missing := [source.name for source in sources if not source.is_file()]:
        pytest.skip(f"{tlc_data} has no {' and no '.join(missing)}: the answer to question {question} is not counted")

    rows = sum(
        to_parquet(source, tmp_path / file.parquet_name, dataset=dataset, month=file.month).rows
        for source, file in zip(sources, files, strict=True)
    )
    if all(source.stat().st_size < SAMPLE_BYTES for source in sources):
        assert rows == SAMPLE_ROWS * len(months)
        assert f"it printed {rows}" in PAGE
    else:
        assert ANSWERS[question].startswith(f"{rows:,} rows")


def test_the_cron_expression_runs_on_the_first_at_five() -> None:
    timetable = MonthlyTimetable(ANSWERS["2"].strip("`"), timezone="UTC", run_offset=-2, key_format="%Y-%m")
    march = pendulum.datetime(2021, 3, 1, 5)
    restriction = TimeRestriction(earliest=None, latest=None, catchup=True)
    run = timetable.next_dagrun_info_v2(last_dagrun_info=DagRunInfo.interval(march, march), restriction=restriction)
    assert run is not None
    assert (run.run_after, run.partition_key) == (pendulum.datetime(2021, 4, 1, 5), "2021-02")


def test_the_message_of_a_completed_run_is_that_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(notifications, "deliver", sent.append)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://127.0.0.1:8080/")
    [function] = re.findall(r"(?ms)^```python\n(def notify_completed.+?)^```$", PAGE)
    # As at the end of the module that the page adds it to.
    added: dict[str, Any] = dict(vars(notifications))
    exec(compile(f"from __future__ import annotations\n{function}", "homework.md", "exec"), added)

    added["notify_completed"](
        {
            "dag": DAG(dag_id="green_web_to_gcs", schedule=None),
            "run_id": "manual__1",
            "dag_run": SimpleNamespace(partition_key="2021-01"),
            "ti": SimpleNamespace(task_id="remove_files", log_url="http://127.0.0.1:8080/log"),
        }
    )
    [shown] = re.findall(r"(?m)^green_web_to_gcs completed .+$", PAGE)
    assert len(sent) == 1
    assert sent[0].startswith(
        shown.partition("manual__")[0] + "manual__1, task remove_files, log http://127.0.0.1:8080/"
    )
