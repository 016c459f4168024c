"""``python -m local.airflow``, with a command: for the Makefile and bin/airflow.

Another command, ``restart``, is the watcher's: it restarts the components that it is given.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

import httpx

from local.cloud import shell
from local.cloud.processes import ProcessError, answers, raise_on_signals
from local.cloud.settings import REPOSITORY, told

# The package that the DAGs import is in Airflow's plugins folder.
sys.path.insert(0, str(REPOSITORY / "plugins"))

from local.airflow import command_line, foreground, health, stack
from local.airflow.environment import AirflowSettings
from local.airflow.no_effect import without_effect
from local.airflow.watcher import Restarts, restarts_file


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.airflow", description="Airflow on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start the embedded cloud and Airflow")
    commands.add_parser("down", help="stop both")
    commands.add_parser("status", help="show the state of both; exit 0 only if everything is healthy")
    for name, description in (
        ("demo", "run one month through all DAGs"),
        ("reconcile", "count the rows of one month in every store; exit 0 only if all counts agree"),
    ):
        command = commands.add_parser(name, help=description)
        command.add_argument("dataset")
        command.add_argument("month")
    check = commands.add_parser("gcp-check", help="check a project on Google Cloud; exit 0 only if nothing is wrong")
    check.add_argument("project", nargs="?", default="")
    check.add_argument("bucket", nargs="?", default="")
    run = commands.add_parser("run", help="the Airflow CLI in the project's environment")
    run.add_argument("arguments", nargs="*")
    restart = commands.add_parser("restart")  # without help: not for users
    restart.add_argument("names", nargs="+")
    # Everything after "run" goes to Airflow, options included.
    words = sys.argv[1:]
    options = parser.parse_args(words[:1] if words[:1] == ["run"] else words)
    if options.command == "run":
        options.arguments = words[1:]
    raise_on_signals()
    try:
        if options.command != "restart":  # the watcher passes on the environment of make up
            _tell(shell.adopt())
        return _run(options, stack.as_running(AirflowSettings.from_env()))
    except (ProcessError, ValueError, RuntimeError, httpx.HTTPError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {told(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace, settings: AirflowSettings) -> int:
    if options.command == "up":
        stack.up(settings)
        foreground.unpause_left_over(settings)
        _print_login(settings)
        _tell_without_effect(settings)
    elif options.command == "down":
        stack.down(settings)
    elif options.command == "status":
        return _status(settings)
    elif options.command == "demo":
        from local.airflow.demo import demo

        _tell_without_effect(settings)
        return 0 if demo(settings, dataset=options.dataset, month=options.month) else 1
    elif options.command == "restart":
        stack.restart(settings, options.names, overrides=json.loads(os.environ.get(stack.OVERRIDES, "{}")))
    elif options.command == "reconcile":
        return _reconcile(settings, options.dataset, options.month)
    elif options.command == "gcp-check":
        return _check_google_cloud(settings, options.project, options.bucket)
    else:
        return _run_airflow(settings, options.arguments)
    return 0


def _reconcile(settings: AirflowSettings, dataset: str, month: str) -> int:
    from local.airflow import reconcile

    file = reconcile.month_file(settings, dataset, month)
    if not settings.uses_real_google_cloud and not answers(f"{settings.cloud.bigquery_url}/healthz"):
        raise ProcessError("the embedded cloud is not up; run make up")
    counts = reconcile.count(settings, file)
    print(counts.line(dataset, month))
    return 0 if counts.agree else 1


def _check_google_cloud(settings: AirflowSettings, project: str, bucket: str) -> int:
    from local.airflow import gcp_check, gcp_finding

    code = 0
    for finding in gcp_check.check(settings, project, bucket):
        print(finding, flush=True)
        code = code or int(finding.state == gcp_finding.WRONG)
    return code


def _status(settings: AirflowSettings) -> int:
    code = stack.cloud(settings, "status", check=False)
    for component in (*stack.airflow_status(settings), stack.watcher_status(settings)):
        pid = f"pid {component.pid}" if component.pid else ""
        print(f"{component.name:<14} {component.address:<28} {component.state:<10} {pid}")
        if component.state != "running":
            code = 1
    restarts = Restarts.read(restarts_file(settings.cloud.state_dir))
    for sentence in restarts.sentences():
        print(f"{sentence}, see {stack.watcher_log(settings)}")
    for trouble in stack.troubles(settings):
        _tell(f"error: {trouble}")
        code = 1
    if code == 0:
        _print_login(settings)
    return code


def _tell_without_effect(settings: AirflowSettings) -> None:
    for sentence in without_effect(settings):
        _tell(f"note: {sentence}")


def _tell(text: str) -> None:
    if text:
        print(text, file=sys.stderr, flush=True)


def _print_login(settings: AirflowSettings) -> None:
    print(
        f"\nAirflow  {settings.url}\nuser     admin\npassword {settings.password()}\nsource   {settings.cloud.source}"
        f"\nmessages {settings.messages_dir}"
    )


def _run_airflow(settings: AirflowSettings, arguments: list[str]) -> int:
    """Run the Airflow CLI. The embedded cloud must be up: its Postgres has Airflow's metadata database.

    Returns:
        The CLI's exit code; 1 in place of 0 if a component is lost or hangs, so that runs may never start.
    """
    command_line.check(arguments)
    stack.migrate(settings)
    for sentence in stack.restarts_to_come(settings):
        _tell(f"note: {sentence}")
    troubles = [*stack.troubles(settings), *health.hung(settings)]
    for trouble in troubles:
        _tell(f"error: {trouble}")
    code = _run_command(settings, arguments)
    return code or (1 if troubles else 0)


def _run_command(settings: AirflowSettings, arguments: list[str]) -> int:
    if not stack.is_up(settings):
        return stack.run_airflow(settings, *arguments).returncode
    foreground.unpause_left_over(settings)
    if arguments[:2] == ["dags", "test"]:
        return foreground.test_dag(settings, arguments)
    return stack.run_airflow(settings, *arguments).returncode


if __name__ == "__main__":
    sys.exit(main())
