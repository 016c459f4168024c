"""The embedded cloud's command: ``python -m local.cloud up|down|status``.

``up`` and ``down`` take the names of components; without names they apply to all. Settings come from ``.env`` in the
repository's root; variables in the environment take precedence.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection, Sequence

from local.cloud import gcs, postgres, shell, source
from local.cloud.processes import Process, ProcessError, Started, answers, raise_on_signals, status, stop
from local.cloud.settings import REPOSITORY, Settings, private_folder, told
from local.cloud.status_line import start_and_tell

GROUP = "cloud"
NAMES = ("gcs", "bigquery", "postgres", source.NAME)


def components(settings: Settings) -> list[Process]:
    """Return the components of the embedded cloud under ``settings``.

    Raises:
        ProcessError: SOURCE is a folder that cannot be served, or a program is not installed.
    """
    served = source.process(settings)
    return [gcs.process(settings), _bigquery(settings), postgres.process(settings), *([served] if served else [])]


def up(settings: Settings, *, names: Collection[str] = NAMES) -> None:
    """Start the components ``names`` that do not run, and print a line for each when it is ready.

    Stops a running source server if SOURCE now names a source elsewhere.

    Raises:
        ProcessError: a component cannot be started; all components that this call started are stopped again.
    """
    begin = time.monotonic()
    # Not their parent: root's Postgres runs as another user, and its own folder is as private as these.
    for folder in (
        settings.gcs_root,
        settings.bigquery_dir,
        settings.source_cache,
        settings.log_dir,
        settings.run_dir,
    ):
        private_folder(folder)
    everything = components(settings)
    if source.NAME not in {process.name for process in everything}:
        stop(run_dir=settings.run_dir, names=[source.NAME])
    wanted = [process for process in everything if process.name in names]
    started = start_and_tell(wanted, run_dir=settings.run_dir, report=_print_started)
    if all(one.outcome == "running" for one in started):
        print("all components are already running")
    else:
        print(f"up in {time.monotonic() - begin:.1f} s; state in {settings.state_dir}, logs in {settings.log_dir}")


def down(settings: Settings, *, names: Collection[str] = NAMES) -> None:
    """Stop the running components among ``names``; keeps their data.

    Raises:
        ProcessError: a process cannot be ended.
    """
    stopped = stop(run_dir=settings.run_dir, names=names)
    for one in stopped:
        note = "was not running" if one.was_dead else "killed: it did not stop in time" if one.killed else "stopped"
        print(f"{one.name:<10}{note}")
    if not stopped:
        print("nothing is running")


def report(settings: Settings) -> bool:
    """Print the state of each component, and return whether all are healthy."""
    found = status(components(settings), run_dir=settings.run_dir)
    for one in found:
        process = "" if one.pid is None else f"pid {one.pid}, up {_duration(one.uptime or 0.0)}"
        print(f"{one.name:<10}{one.state:<11}{one.address:<42}{process}".rstrip())
    return all(one.state == "running" for one in found)


def _bigquery(settings: Settings) -> Process:
    return Process(
        name="bigquery",
        command=[
            *(sys.executable, "-m", "local.cloud.bigquery"),
            *("--port", str(settings.bigquery_port)),
            *("--data-dir", str(settings.bigquery_dir)),
            *("--gcs-root", str(settings.gcs_root)),
            *("--project", settings.project),
        ],
        log=settings.log_dir / "bigquery.log",
        healthy=lambda: answers(f"{settings.bigquery_url}/bigquery/v2/projects/{settings.project}/datasets"),
        cwd=REPOSITORY,
        port=settings.bigquery_port,
        port_setting="BIGQUERY_PORT",
        url=settings.bigquery_url,
        startup_timeout=settings.start_timeout,
        stop_timeout=30,  # it first writes its database to disk
        group=GROUP,
    )


def _print_started(started: Started) -> None:
    done = "running already" if started.outcome == "running" else f"{started.outcome} in {started.seconds:.1f} s"
    print(f"{started.process.name:<10}{started.process.address:<42}{done}", flush=True)


def _duration(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 1 if it failed, or if ``status`` found an unhealthy component."""
    parser = argparse.ArgumentParser(prog="python -m local.cloud", description="The embedded cloud.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "start the components that do not run"),
        ("down", "stop the components and keep their data"),
        ("status", "print the state of all components; exit 0 only if all are healthy"),
    ):
        parsed = commands.add_parser(name, help=text, description=text)
        if name != "status":
            parsed.add_argument("names", nargs="*", metavar="NAME", help=f"only these components: {', '.join(NAMES)}")
    options = parser.parse_args(arguments)
    unknown = set(vars(options).get("names", ())) - set(NAMES)
    if unknown:
        parser.error(f"unknown component {', '.join(sorted(unknown))}; choose from {', '.join(NAMES)}")
    raise_on_signals()
    try:
        shell.adopt_for_servers()
        settings = Settings.from_env()
        if options.command == "status":
            return 0 if report(settings) else 1
        (up if options.command == "up" else down)(settings, names=options.names or NAMES)
    except (ProcessError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {told(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
