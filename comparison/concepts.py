"""The concept table, as data: what each concept is, and which lines show it in either version.

Each concept has a check on both sides, in ``comparison/checks/airflow.py`` and ``comparison/checks/prefect.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from local.cloud.settings import REPOSITORY


class Lines(NamedTuple):
    """Where a concept can be read.

    Attributes:
        path: the file, below the repository's root.
        anchor: a text that stands in exactly one of its lines, so that the link to it stays true.
    """

    path: str
    anchor: str

    def number(self) -> int:
        """The line's number, from 1 on.

        Raises:
            ValueError: the anchor stands in no line or in several.
        """
        lines = (REPOSITORY / self.path).read_text(encoding="utf-8").splitlines()
        found = [number for number, line in enumerate(lines, start=1) if self.anchor in line]
        if len(found) != 1:
            raise ValueError(f"{self.path}: {self.anchor!r} stands in {len(found)} lines; it must in one")
        return found[0]


@dataclass(frozen=True, kw_only=True)
class Concept:
    """One line of the table.

    Attributes:
        name: of its checks.
        title: its name for people; where the two use different words, Airflow's first.
        sentence: what it is good for.
        airflow: where it can be read in the Airflow version.
        prefect: where in the Prefect version.
    """

    name: str
    title: str
    sentence: str
    airflow: Lines
    prefect: Lines


_DAGS, _PLUGINS, _FLOWS = "dags/", "plugins/nyc_taxi/", "comparison/prefect_flows/"
_AIRFLOW_EXAMPLES, _PREFECT_EXAMPLES = "comparison/airflow_dags/examples.py", f"{_FLOWS}examples.py"


def _examples(airflow: str, prefect: str = "") -> dict[str, Lines]:
    """Both examples, which have the same name unless said otherwise."""
    return {
        "airflow": Lines(_AIRFLOW_EXAMPLES, f"def {airflow}("),
        "prefect": Lines(_PREFECT_EXAMPLES, f"def {prefect or airflow}("),
    }


CONCEPTS: tuple[Concept, ...] = (
    Concept(
        name="flow",
        title="DAG / flow",
        sentence="The unit that is scheduled, run and looked at.",
        airflow=Lines(f"{_DAGS}web_to_gcs.py", "with DAG("),
        prefect=Lines(f"{_FLOWS}web_to_gcs.py", '@flow(name="web-to-gcs"'),
    ),
    Concept(
        name="task",
        title="Task",
        sentence="A step with a state, times and tries of its own.",
        airflow=Lines(f"{_DAGS}web_to_gcs.py", "local_to_gcs = LocalFilesystemToGCSOperator("),
        prefect=Lines(f"{_FLOWS}fetch.py", "def convert("),
    ),
    Concept(
        name="dependencies",
        title="Dependencies and data passing",
        sentence="What runs after what, and what one step hands to the next.",
        airflow=Lines(f"{_DAGS}web_to_gcs.py", "wait >> skip_unchanged >> download"),
        prefect=Lines(f"{_FLOWS}fetch.py", "version = fetch(url, source)"),
    ),
    Concept(
        name="control_flow",
        title="Control flow at run time",
        sentence="A step is repeated until there is nothing left; how often, nobody knows before.",
        airflow=Lines(_AIRFLOW_EXAMPLES, "load.expand(month=list_months())"),
        prefect=Lines(_PREFECT_EXAMPLES, "while read_page(page, pages)"),
    ),
    Concept(
        name="parameters",
        title="Parameters and their validation",
        sentence="A run is asked for a month; what is no month is refused before anything runs.",
        airflow=Lines(f"{_PLUGINS}dag_parts/params.py", "pattern=MONTH_PATTERN"),
        prefect=Lines(f"{_FLOWS}parameters.py", "MonthName = Annotated"),
    ),
    Concept(
        name="typed_parameters",
        title="Parameters with Python types",
        sentence="A date that is asked for is a date in the code.",
        **_examples("typed"),
    ),
    Concept(
        name="run_names",
        title="Run names",
        sentence="A run can be told from others at a glance.",
        airflow=Lines(f"{_PLUGINS}dag_parts/schedules.py", 'key_format="%Y-%m"'),
        prefect=Lines(f"{_FLOWS}web_to_gcs.py", 'flow_run_name="web-to-gcs-{dataset}-{month}"'),
    ),
    Concept(
        name="retries",
        title="Retries with backoff",
        sentence="What fails is tried again, after delays that grow, unless trying again cannot help.",
        airflow=Lines(f"{_PLUGINS}dag_parts/defaults.py", '"retry_exponential_backoff"'),
        prefect=Lines(f"{_FLOWS}retries.py", "retry_delay_seconds=exponential_backoff"),
    ),
    Concept(
        name="caching",
        title="Caching / skipping what is there",
        sentence="A month that did not change is not loaded again.",
        airflow=Lines(f"{_PLUGINS}dag_parts/tasks.py", "def skip_unchanged_in_lake("),
        prefect=Lines(f"{_FLOWS}web_to_gcs.py", "def same_file("),
    ),
    Concept(
        name="time_outs",
        title="Time-outs",
        sentence="What hangs is ended.",
        airflow=Lines(f"{_PLUGINS}dag_parts/defaults.py", '"execution_timeout"'),
        prefect=Lines(f"{_FLOWS}retries.py", "timeout_seconds=30 * 60"),
    ),
    Concept(
        name="logging",
        title="Logging",
        sentence="What the code says can be read at the step that said it.",
        airflow=Lines(f"{_PLUGINS}parquet/to_parquet.py", 'self.log.info("Converted'),
        prefect=Lines(f"{_FLOWS}fetch.py", 'get_run_logger().info("Converted'),
    ),
    Concept(
        name="subflows",
        title="Task group, triggered DAG / subflow",
        sentence="Something large is made of smaller things that can run by themselves.",
        **_examples("parent"),
    ),
    Concept(
        name="mapping",
        title="Mapping",
        sentence="As many steps as an earlier one found things to do.",
        airflow=Lines(_AIRFLOW_EXAMPLES, "def mapped("),
        prefect=Lines(f"{_FLOWS}months.py", "load_month.map("),
    ),
    Concept(
        name="concurrency",
        title="Concurrency limits",
        sentence="Not more at once than the other side can take.",
        airflow=Lines(f"{_PLUGINS}dag_parts/defaults.py", '"max_active_runs": 4'),
        prefect=Lines(f"{_FLOWS}months.py", "with concurrency(LIMIT"),
    ),
    Concept(
        name="connections",
        title="Connections / blocks",
        sentence="Where to read and write, kept outside the code.",
        airflow=Lines("local/airflow/environment.py", '"AIRFLOW_CONN_TAXI_SOURCE"'),
        prefect=Lines(f"{_FLOWS}blocks.py", "def save("),
    ),
    Concept(
        name="providers",
        title="Providers / collections",
        sentence="Ready-made parts for other systems.",
        airflow=Lines(f"{_DAGS}gcs_to_bigquery.py", "from airflow.providers.google.cloud.transfers"),
        prefect=Lines(f"{_FLOWS}gcs_to_bigquery.py", "from prefect_gcp.bigquery import"),
    ),
    Concept(
        name="secrets",
        title="Secrets and masking",
        sentence="A password is kept encrypted, and does not turn up where it can be read.",
        airflow=Lines(_AIRFLOW_EXAMPLES, 'print("the password is"'),
        prefect=Lines(_PREFECT_EXAMPLES, 'print("the password is"'),
    ),
    Concept(
        name="variables",
        title="Variables",
        sentence="A value that can be changed without a new deployment.",
        airflow=Lines(f"{_PLUGINS}dag_parts/tasks.py", "var.value.get('unknown_columns'"),
        prefect=Lines(f"{_FLOWS}blocks.py", "value = Variable.get(SOURCE)"),
    ),
    Concept(
        name="deployment",
        title="Deployment",
        sentence="How code becomes something that can be started.",
        airflow=Lines("local/airflow/environment.py", '"AIRFLOW__CORE__DAGS_FOLDER"'),
        prefect=Lines(f"{_FLOWS}prefect.yaml", "- name: range"),
    ),
    Concept(
        name="workers",
        title="Executor and queue / agent, worker and work pool",
        sentence="Who runs the code, and where.",
        airflow=Lines("local/airflow/airflow.env", "AIRFLOW__CORE__EXECUTOR"),
        prefect=Lines(f"{_FLOWS}prefect.yaml", "work_pool: &work_pool"),
    ),
    Concept(
        name="infrastructure_per_run",
        title="Infrastructure for one run",
        sentence="Whoever starts a run gives it more memory, another image or another variable.",
        airflow=Lines("comparison/checks/airflow.py", '["TriggerDAGRunPostBody"]'),
        prefect=Lines(_PREFECT_EXAMPLES, "def in_its_environment("),
    ),
    Concept(
        name="schedule",
        title="Schedule with a time zone",
        sentence="At a time of the clock on the wall, in summer and in winter.",
        **_examples("in_new_york"),
    ),
    Concept(
        name="several_schedules",
        title="Several schedules with parameters",
        sentence="The same code at several times, each time asked for something else.",
        airflow=Lines(f"{_PLUGINS}dag_parts/schedules.py", "def monthly("),
        prefect=Lines(f"{_FLOWS}prefect.yaml", "parameters: {dataset: green, first:"),
    ),
    Concept(
        name="backfill",
        title="Backfill of past months",
        sentence="A range of the past is loaded by one command, and what ran is not run again.",
        airflow=Lines("README.md", "bin/airflow backfill create"),
        prefect=Lines(f"{_FLOWS}months.py", "def load_months("),
    ),
    Concept(
        name="catch_up",
        title="Catch-up after downtime",
        sentence="Every point of the schedule that passed while nothing ran is run afterwards, however long that was.",
        **_examples("caught_up"),
    ),
    Concept(
        name="events",
        title="Starting by assets or events",
        sentence="What arrives starts what follows, for the month that arrived.",
        airflow=Lines(f"{_PLUGINS}dag_parts/schedules.py", "return PartitionedAssetTimetable(assets=asset)"),
        prefect=Lines(f"{_FLOWS}prefect.yaml", "a month arrived in the lake"),
    ),
    Concept(
        name="notifications",
        title="Notifications of failures",
        sentence="Somebody hears of it.",
        airflow=Lines(f"{_PLUGINS}dag_parts/notifications.py", "def notify_failure"),
        prefect=Lines(f"{_FLOWS}automations.py", '_tell("tell of failures"'),
    ),
    Concept(
        name="lateness",
        title="Lateness (SLA)",
        sentence="Somebody hears that a run is late, before it is done.",
        airflow=Lines(_AIRFLOW_EXAMPLES, "deadline=DeadlineAlert("),
        prefect=Lines(f"{_FLOWS}automations.py", '_tell("tell of late runs"'),
    ),
    Concept(
        name="metadata",
        title="Asset metadata / artifacts",
        sentence="What a run says of its result, for people.",
        airflow=Lines(_AIRFLOW_EXAMPLES, 'yield Metadata(Asset("compared")'),
        prefect=Lines(f"{_FLOWS}gcs_to_bigquery.py", "create_table_artifact(key="),
    ),
    Concept(
        name="results",
        title="XCom / persisted results",
        sentence="What a step returned, after its run.",
        airflow=Lines(f"{_PLUGINS}parquet/to_parquet.py", "return converted.rows"),
        prefect=Lines(f"{_FLOWS}web_to_gcs.py", "persist_result=True"),
    ),
    Concept(
        name="transactions",
        title="Setup and teardown / transactions and rollback",
        sentence="What was made for the work is removed, however the work ends.",
        airflow=Lines(f"{_DAGS}web_to_postgres.py", ").as_teardown(setups=load_staging)"),
        prefect=Lines(f"{_FLOWS}web_to_postgres.py", "@load_staging.on_rollback"),
    ),
    Concept(
        name="crash_recovery",
        title="Crash recovery",
        sentence="A process is killed, and the work is done all the same.",
        airflow=Lines("config/airflow.env", "TASK_INSTANCE_HEARTBEAT_TIMEOUT"),
        prefect=Lines(f"{_FLOWS}automations.py", 'name="start crashed runs again"'),
    ),
    Concept(
        name="rerun",
        title="Running again from a task on",
        sentence="A finished run is done again from a task that one chooses; what is before it stays as it was.",
        airflow=Lines("docs/operations.md", "repeat a run from one task on"),
        prefect=Lines(f"{_FLOWS}web_to_gcs.py", "def to_lake("),
    ),
    Concept(
        name="cancelling",
        title="Cancelling",
        sentence="A run is stopped by hand, and its process ends.",
        **_examples("cancelled"),
    ),
    Concept(
        name="approval",
        title="Pausing for approval",
        sentence="A run waits for a person's answer.",
        **_examples("approved"),
    ),
    Concept(
        name="code_from_git",
        title="Code from git, with versions",
        sentence="What runs is a commit, and one can tell which.",
        airflow=Lines("comparison/airflow_side.py", "airflow.providers.git.bundles.git.GitDagBundle"),
        prefect=Lines("comparison/checks/prefect.py", '"prefect.deployments.steps.git_clone"'),
    ),
    Concept(
        name="docker",
        title="Docker infrastructure",
        sentence="The same from an image.",
        airflow=Lines("docker-compose.yaml", "x-airflow:"),
        prefect=Lines("comparison/pyproject.toml", '"prefect-docker"'),
    ),
    Concept(
        name="start_up",
        title="Start on a laptop",
        sentence="From nothing to the first run.",
        airflow=Lines("local/airflow/stack.py", "def up("),
        prefect=Lines("comparison/prefect_side.py", "def start("),
    ),
    Concept(
        name="ui",
        title="UI",
        sentence="What there is can be looked at in a browser.",
        airflow=Lines("local/airflow/stack.py", '"api-server",'),
        prefect=Lines("comparison/prefect_side.py", '"server", "start"'),
    ),
    Concept(
        name="rest_api",
        title="REST API",
        sentence="What the UI does, a program can do.",
        airflow=Lines("local/airflow/api.py", "class AirflowApi"),
        prefect=Lines("comparison/prefect_api.py", "class PrefectApi"),
    ),
    Concept(
        name="testing",
        title="Testing a DAG / flow",
        sentence="It runs without a scheduler or server, in a test.",
        airflow=Lines("tests/integration/test_dags_test.py", "def test_a_date_takes_its_month_to_every_store("),
        prefect=Lines("comparison/checks/prefect.py", "with prefect_test_harness("),
    ),
    Concept(
        name="cloud",
        title="Cloud offering",
        sentence="Somebody else runs it.",
        airflow=Lines("README.md", "## On real Google Cloud"),
        prefect=Lines("comparison/checks/prefect.py", '"PREFECT_API_KEY"'),
    ),
)
