"""The concept table as data: what each concept is, and which lines of each version show it.

Each concept has a check on both sides, in the folders ``comparison/checks/airflow`` and ``comparison/checks/prefect``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypedDict, get_args

from local.cloud.settings import REPOSITORY

Group = Literal["write", "run", "schedule", "operate", "deploy"]
# In the order in which somebody meets them; each has a module of this name among the checks of each side.
GROUPS: tuple[Group, ...] = get_args(Group)


class Lines(NamedTuple):
    """The place of a concept in the code.

    Attributes:
        path: the file, below the repository's root.
        anchor: a text that occurs in exactly one of its lines; the link follows the text when lines move.
    """

    path: str
    anchor: str

    def number(self) -> int:
        """The number of the line, from 1.

        Raises:
            ValueError: the anchor is in no line or in several.
        """
        lines = (REPOSITORY / self.path).read_text(encoding="utf-8").splitlines()
        found = [number for number, line in enumerate(lines, start=1) if self.anchor in line]
        if len(found) != 1:
            raise ValueError(
                f"{self.path}: {self.anchor!r} is in {len(found)} lines; give an anchor that is in exactly one"
            )
        return found[0]


@dataclass(frozen=True, kw_only=True)
class Concept:
    """One line of the table.

    Attributes:
        name: the name of its checks.
        group: what somebody does who needs it.
        title: its name on the page; where the two use different words, Airflow's comes first.
        sentence: its purpose.
        airflow, prefect: its place in each version.
        slow: its checks take half a minute or more; a quick comparison leaves them out.
    """

    name: str
    group: Group
    title: str
    sentence: str
    airflow: Lines
    prefect: Lines
    slow: bool = False


_DAGS, _PLUGINS, _FLOWS = "dags/", "plugins/nyc_taxi/", "comparison/prefect_flows/"
_AIRFLOW_EXAMPLES, _PREFECT_EXAMPLES = "comparison/airflow_dags/examples.py", f"{_FLOWS}examples.py"


class _Places(TypedDict):
    airflow: Lines
    prefect: Lines


def _examples(airflow: str, prefect: str = "") -> _Places:
    """The places of both examples; ``prefect`` is only given if its name differs."""
    return {
        "airflow": Lines(_AIRFLOW_EXAMPLES, f"def {airflow}("),
        "prefect": Lines(_PREFECT_EXAMPLES, f"def {prefect or airflow}("),
    }


def _starts_and_limits(airflow: str, prefect: str = "") -> _Places:
    """The places of both examples about starts and limits; ``prefect`` is only given if its anchor differs."""
    return {
        "airflow": Lines("comparison/airflow_dags/starts_and_limits.py", f"def {airflow}("),
        "prefect": Lines(f"{_FLOWS}starts_and_limits.py", prefect or f"def {airflow}("),
    }


CONCEPTS: tuple[Concept, ...] = (
    Concept(
        name="flow",
        group="write",
        title="DAG / flow",
        sentence="The unit that is scheduled, run and monitored.",
        airflow=Lines(f"{_DAGS}web_to_gcs.py", "with DeadlineDAG("),
        prefect=Lines(f"{_FLOWS}web_to_gcs.py", '@flow(name="web-to-gcs"'),
    ),
    Concept(
        name="task",
        group="write",
        title="Task",
        sentence="A step with its own state, times and tries.",
        airflow=Lines(f"{_DAGS}web_to_gcs.py", "local_to_gcs = UploadOperator("),
        prefect=Lines(f"{_FLOWS}fetch.py", "def convert("),
    ),
    Concept(
        name="dependencies",
        group="write",
        title="Dependencies and data passing",
        sentence="The order of the steps, and the values that one passes to the next.",
        airflow=Lines(f"{_DAGS}web_to_gcs.py", "skip_unchanged >> download >> to_parquet"),
        prefect=Lines(f"{_FLOWS}fetch.py", "version = fetch(url, source)"),
    ),
    Concept(
        name="control_flow",
        group="write",
        title="Control flow at run time",
        sentence="A step repeats until nothing is left; how often is not known in advance.",
        airflow=Lines(_AIRFLOW_EXAMPLES, 'task_id="read_next"'),
        prefect=Lines(_PREFECT_EXAMPLES, "while read_page(page, pages)"),
    ),
    Concept(
        name="parameters",
        group="write",
        title="Parameters and their validation",
        sentence="A run takes a month; an invalid one is refused before anything runs.",
        airflow=Lines(f"{_PLUGINS}dag_parts/params.py", "pattern=MONTH_PATTERN"),
        prefect=Lines(f"{_FLOWS}parameters.py", "MonthName = Annotated"),
    ),
    Concept(
        name="typed_parameters",
        group="write",
        title="Parameters with Python types",
        sentence="A date parameter is a date object in the code.",
        **_examples("typed"),
    ),
    Concept(
        name="run_names",
        group="run",
        title="Run names",
        sentence="Runs can be told apart at a glance.",
        airflow=Lines(f"{_PLUGINS}dag_parts/schedules.py", 'key_format="%Y-%m"'),
        prefect=Lines(f"{_FLOWS}parameters.py", "def run_name("),
    ),
    Concept(
        name="retries",
        group="run",
        title="Retries with backoff",
        sentence="A failed task is retried with growing delays, unless a retry cannot help.",
        airflow=Lines(_AIRFLOW_EXAMPLES, "rules=[final]"),
        prefect=Lines(f"{_FLOWS}retries.py", "def is_worth_a_retry("),
    ),
    Concept(
        name="caching",
        group="run",
        title="Caching / skipping what is there",
        sentence="A step that gets what an earlier run got, such as an unchanged month, does not run again.",
        airflow=Lines(f"{_PLUGINS}stores/skip_unchanged.py", "class SkipUnchangedOperator("),
        prefect=Lines(_PREFECT_EXAMPLES, "cache_policy=INPUTS, persist_result"),
    ),
    Concept(
        name="time_outs",
        group="run",
        title="Time-outs",
        sentence="A hanging task is stopped, also one of several that run at once.",
        airflow=Lines(f"{_PLUGINS}dag_parts/defaults.py", '"execution_timeout"'),
        prefect=Lines(f"{_FLOWS}retries.py", "timeout_seconds=30 * 60"),
        slow=True,
    ),
    Concept(
        name="logging",
        group="run",
        title="Logging",
        sentence="A log message can be read at the step that wrote it.",
        airflow=Lines(f"{_PLUGINS}parquet/to_parquet.py", 'self.log.info("Converted'),
        prefect=Lines(f"{_FLOWS}fetch.py", 'get_run_logger().info("Converted'),
    ),
    Concept(
        name="waiting",
        group="run",
        title="Waiting cheaply",
        sentence="Twenty steps wait at the same time for a moment that has not come yet.",
        **_starts_and_limits("waiting"),
        slow=True,
    ),
    Concept(
        name="subflows",
        group="write",
        title="Task group, triggered DAG / subflow",
        sentence="A large workflow consists of smaller ones that can run on their own, and takes their results.",
        **_examples("parent"),
    ),
    Concept(
        name="mapping",
        group="write",
        title="Mapping",
        sentence="One step for each item that an earlier step found.",
        airflow=Lines(_AIRFLOW_EXAMPLES, "def mapped("),
        prefect=Lines(f"{_FLOWS}months.py", "load_month.map("),
    ),
    Concept(
        name="concurrency",
        group="run",
        title="Concurrency limits",
        sentence="No more work at a time than other systems can take.",
        airflow=Lines(f"{_PLUGINS}dag_parts/defaults.py", '"max_active_runs": 4'),
        prefect=Lines(f"{_FLOWS}months.py", "with concurrency(LIMIT"),
    ),
    Concept(
        name="connections",
        group="operate",
        title="Connections / blocks",
        sentence="Addresses and credentials of other systems, kept outside the code.",
        airflow=Lines("local/airflow/environment.py", '"AIRFLOW_CONN_TAXI_SOURCE"'),
        prefect=Lines(f"{_FLOWS}blocks.py", "def save("),
    ),
    Concept(
        name="providers",
        group="write",
        title="Providers / collections",
        sentence="Ready-made integrations with other systems.",
        airflow=Lines(f"{_DAGS}gcs_to_bigquery.py", "from airflow.providers.google.cloud.operators.bigquery"),
        prefect=Lines(f"{_FLOWS}gcs_to_bigquery.py", "from prefect_gcp.bigquery import"),
    ),
    Concept(
        name="secrets",
        group="operate",
        title="Secrets and masking",
        sentence="A password is stored encrypted, and appears nowhere in clear text.",
        airflow=Lines(_AIRFLOW_EXAMPLES, 'print("the password is"'),
        prefect=Lines(f"{_FLOWS}masking.py", "def mask("),
    ),
    Concept(
        name="variables",
        group="operate",
        title="Variables",
        sentence="A value that can change without a new deployment.",
        airflow=Lines(f"{_PLUGINS}dag_parts/tasks.py", "var.value.get('unknown_columns'"),
        prefect=Lines(f"{_FLOWS}blocks.py", "value = Variable.get(SOURCE)"),
    ),
    Concept(
        name="deployment",
        group="deploy",
        title="Deployment",
        sentence="How code becomes something that can run.",
        airflow=Lines("local/airflow/environment.py", '"AIRFLOW__CORE__DAGS_FOLDER"'),
        prefect=Lines("comparison/checks/prefect/deploy.py", "dropped.deploy("),
        slow=True,
    ),
    Concept(
        name="workers",
        group="deploy",
        title="Executor and queue / agent, worker and work pool",
        sentence="Who runs the code, and where.",
        airflow=Lines("local/airflow/airflow.env", "AIRFLOW__CORE__EXECUTOR"),
        prefect=Lines(f"{_FLOWS}prefect.yaml", "work_pool: &work_pool"),
    ),
    Concept(
        name="infrastructure_per_run",
        group="run",
        title="Infrastructure for one run",
        sentence="The caller gives a single run more memory, another image or another variable.",
        airflow=Lines("comparison/airflow_settings/airflow_local_settings.py", "def task_instance_mutation_hook("),
        prefect=Lines(_PREFECT_EXAMPLES, "def in_its_environment("),
        slow=True,
    ),
    Concept(
        name="schedule",
        group="schedule",
        title="Schedule with a time zone",
        sentence="Runs at a local time, in summer and in winter.",
        **_examples("in_new_york"),
    ),
    Concept(
        name="several_schedules",
        group="schedule",
        title="Several schedules with parameters",
        sentence="The same code at several times, each time with other parameters.",
        airflow=Lines(_AIRFLOW_EXAMPLES, "def scheduled("),
        prefect=Lines(f"{_FLOWS}prefect.yaml", "parameters: {dataset: green, first:"),
        slow=True,
    ),
    Concept(
        name="backfill",
        group="schedule",
        title="Backfill of past months",
        sentence="One command loads a range of past months, without those that already ran.",
        airflow=Lines("README.md", "bin/airflow backfill create"),
        prefect=Lines(f"{_FLOWS}months.py", "def load_months("),
        slow=True,
    ),
    Concept(
        name="catch_up",
        group="schedule",
        title="Catch-up after downtime",
        sentence="Every scheduled time that was missed gets a run afterwards by itself, however long ago it was.",
        airflow=Lines("comparison/checks/airflow/schedule.py", '"catchup": True'),
        prefect=Lines(_PREFECT_EXAMPLES, "def caught_up("),
        slow=True,
    ),
    Concept(
        name="events",
        group="schedule",
        title="Starting by assets or events",
        sentence="The arrival of a month starts the next step for that month.",
        airflow=Lines(f"{_PLUGINS}dag_parts/schedules.py", "return PartitionedAssetTimetable(assets=asset)"),
        prefect=Lines(f"{_FLOWS}prefect.yaml", "a month arrived in the lake"),
    ),
    Concept(
        name="notifications",
        group="operate",
        title="Notifications of failures",
        sentence="A failed run sends an alert.",
        airflow=Lines(_AIRFLOW_EXAMPLES, "on_failure_callback=HttpNotifier("),
        prefect=Lines(f"{_FLOWS}automations.py", '_report("report failures"'),
    ),
    Concept(
        name="lateness",
        group="operate",
        title="Lateness (SLA)",
        sentence="A run that starts late or takes too long sends an alert before it has ended.",
        airflow=Lines(_AIRFLOW_EXAMPLES, "deadline=DeadlineAlert("),
        prefect=Lines(f"{_FLOWS}automations.py", '_report("report late runs"'),
        slow=True,
    ),
    Concept(
        name="metadata",
        group="operate",
        title="Asset metadata / artifacts",
        sentence="What a run reports about its result, for people.",
        airflow=Lines(_AIRFLOW_EXAMPLES, 'yield Metadata(Asset("compared")'),
        prefect=Lines(f"{_FLOWS}gcs_to_bigquery.py", "create_table_artifact(key="),
    ),
    Concept(
        name="results",
        group="write",
        title="XCom / persisted results",
        sentence="A step's return value, available after its run.",
        airflow=Lines(f"{_PLUGINS}parquet/to_parquet.py", "return converted.rows"),
        prefect=Lines(f"{_FLOWS}web_to_gcs.py", "persist_result=True"),
    ),
    Concept(
        name="transactions",
        group="write",
        title="Setup and teardown / transactions and rollback",
        sentence="Temporary objects are removed although the work fails.",
        airflow=Lines(f"{_DAGS}web_to_postgres.py", ").as_teardown(setups=load_staging)"),
        prefect=Lines(f"{_FLOWS}web_to_postgres.py", "@load_staging.on_rollback"),
    ),
    Concept(
        name="crash_recovery",
        group="run",
        title="Crash recovery",
        sentence="A process is killed, and the work still completes.",
        airflow=Lines("config/airflow.env", "ORPHANED_TASKS_CHECK_INTERVAL"),
        prefect=Lines(f"{_FLOWS}automations.py", 'name="restart crashed runs"'),
        slow=True,
    ),
    Concept(
        name="rerun",
        group="run",
        title="Rerun from a chosen task",
        sentence="Work is repeated from a chosen task on; earlier tasks keep their results.",
        airflow=Lines("docs/operations.md", "repeat a run from one task on"),
        prefect=Lines(_PREFECT_EXAMPLES, "def repeated("),
    ),
    Concept(
        name="cancelling",
        group="run",
        title="Cancelling",
        sentence="A run is stopped by hand, and its process ends.",
        **_examples("cancelled"),
    ),
    Concept(
        name="approval",
        group="run",
        title="Pausing for approval",
        sentence="A run waits for a person's answer.",
        **_examples("approved"),
    ),
    Concept(
        name="code_from_git",
        group="deploy",
        title="Code from git, with versions",
        sentence="A run executes the newest commit, or a pinned one.",
        airflow=Lines("comparison/airflow_side.py", "airflow.providers.git.bundles.git.GitDagBundle"),
        prefect=Lines("comparison/checks/prefect/deploy.py", '"prefect.deployments.steps.git_clone"'),
        slow=True,
    ),
    Concept(
        name="docker",
        group="deploy",
        title="Docker infrastructure",
        sentence="The same pipeline from a container image.",
        airflow=Lines("docker-compose.yaml", "x-airflow:"),
        prefect=Lines("comparison/pyproject.toml", '"prefect-docker"'),
    ),
    Concept(
        name="start_up",
        group="deploy",
        title="Start on a laptop",
        sentence="From nothing to the first run.",
        airflow=Lines("local/airflow/stack.py", "def up("),
        prefect=Lines("comparison/prefect_side.py", "def start("),
        slow=True,
    ),
    Concept(
        name="testing",
        group="write",
        title="Testing a DAG / flow",
        sentence="It runs in a test, without a scheduler or server.",
        airflow=Lines("tests/integration/test_dags_test.py", "def test_a_date_takes_its_month_to_every_store("),
        prefect=Lines("comparison/checks/prefect/write.py", "with prefect_test_harness("),
        slow=True,
    ),
    Concept(
        name="cloud",
        group="deploy",
        title="Cloud offering",
        sentence="A hosted service runs it.",
        airflow=Lines("docs/deploy.md", "## Cloud Composer, MWAA and Astro"),
        prefect=Lines("comparison/checks/prefect/deploy.py", '"PREFECT_API_KEY"'),
        slow=True,
    ),
    Concept(
        name="priority",
        group="run",
        title="Priority",
        sentence="Of the work that waits for a free place, the most important comes first.",
        **_starts_and_limits("prioritised"),
        slow=True,
    ),
    Concept(
        name="rate_limits",
        group="run",
        title="Rate limits",
        sentence="Another system is called no more often than it allows.",
        **_starts_and_limits("rated", "def call("),
    ),
    Concept(
        name="checked_in_ci",
        group="write",
        title="Checking everything in CI",
        sentence="Before a change is deployed, one command finds whatever can no longer be imported.",
        airflow=Lines("comparison/checks/airflow/write.py", '"list-import-errors"'),
        prefect=Lines(f"{_FLOWS}importable.py", "def broken("),
        slow=True,
    ),
    Concept(
        name="edit_to_result",
        group="write",
        title="From an edit to its result",
        sentence="An edited file is run at once, also in a debugger.",
        airflow=Lines("comparison/edited.py", "edited_dag.test()"),
        prefect=Lines("comparison/edited.py", "    edited()"),
        slow=True,
    ),
    Concept(
        name="result_types",
        group="write",
        title="Static types of a task's result",
        sentence="A type checker finds a step that cannot take the result of another.",
        airflow=Lines("comparison/checks/airflow/write.py", "def result_types("),
        prefect=Lines("comparison/checks/prefect/write.py", "def result_types("),
        slow=True,
    ),
    Concept(
        name="ecosystem",
        group="write",
        title="Size of the ecosystem",
        sentence="How many packages for other systems the project itself publishes.",
        airflow=Lines("comparison/checks/airflow/write.py", "def ecosystem("),
        prefect=Lines("comparison/checks/prefect/write.py", "def ecosystem("),
    ),
    Concept(
        name="outside_events",
        group="schedule",
        title="An event from outside",
        sentence="Another system starts a run, and says for what.",
        **_starts_and_limits("from_outside"),
    ),
    Concept(
        name="control_plane_down",
        group="run",
        title="Control plane down for half a minute",
        sentence="Tasks that run meanwhile are not repeated, and their results are not lost.",
        **_starts_and_limits("outage"),
        slow=True,
    ),
    Concept(
        name="rollback",
        group="deploy",
        title="Rollback to an older version",
        sentence="After a bad change, the version before it runs again.",
        airflow=Lines("comparison/checks/airflow/deploy.py", '"revert"'),
        prefect=Lines("comparison/checks/prefect/deploy.py", "rolled_back = _deploy_and_run("),
        slow=True,
    ),
    Concept(
        name="two_inputs",
        group="schedule",
        title="Two inputs of the same month",
        sentence="A step starts when both inputs of a month have arrived, and not for inputs of different months.",
        **_starts_and_limits("both_arrived", "def when_both_arrive("),
    ),
    Concept(
        name="roles",
        group="operate",
        title="Users, roles and tokens",
        sentence="Each user may do what the user's role allows, and nobody else may do anything.",
        airflow=Lines("comparison/airflow_side.py", '"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"'),
        prefect=Lines("comparison/temporary_server.py", '"PREFECT_SERVER_API_AUTH_STRING": password'),
        slow=True,
    ),
    Concept(
        name="clean_up",
        group="operate",
        title="Clean-up of old runs",
        sentence="The database keeps no more runs than somebody needs.",
        airflow=Lines("comparison/checks/airflow/operate.py", '"db", "clean"'),
        prefect=Lines("comparison/prefect_side.py", '"PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"'),
        slow=True,
    ),
    Concept(
        name="openlineage",
        group="operate",
        title="OpenLineage",
        sentence="Another system is told what a step has read and written, in an open format.",
        airflow=Lines("comparison/airflow_dags/starts_and_limits.py", "def lineage("),
        prefect=Lines(f"{_FLOWS}starts_and_limits.py", "def as_openlineage("),
        slow=True,
    ),
    Concept(
        name="secret_rotation",
        group="operate",
        title="Rotation of the key for secrets",
        sentence="What is encrypted in the database is encrypted anew, with another key.",
        airflow=Lines("comparison/checks/airflow/operate.py", '"rotate-fernet-key"'),
        prefect=Lines(f"{_FLOWS}rotation.py", "async def take("),
        slow=True,
    ),
    Concept(
        name="upgrade",
        group="operate",
        title="Upgrade of the database",
        sentence="The tables of the previous minor version become those of today, with what is in them.",
        airflow=Lines("comparison/checks/airflow/operate.py", '"downgrade", "--yes"'),
        prefect=Lines("comparison/checks/prefect/operate.py", '"downgrade", "--revision", OF_3_8'),
        slow=True,
    ),
    Concept(
        name="telemetry",
        group="operate",
        title="Metrics and traces",
        sentence="A collector of OpenTelemetry is told what runs, and how long it takes.",
        airflow=Lines("comparison/checks/airflow/operate.py", '"AIRFLOW__TRACES__OTEL_ON"'),
        prefect=Lines("comparison/checks/prefect/operate.py", '"OTEL_EXPORTER_OTLP_ENDPOINT"'),
        slow=True,
    ),
)
