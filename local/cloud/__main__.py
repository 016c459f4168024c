"""``python -m local.cloud up|down|status``: the embedded cloud's own command.

``up`` and ``down`` take the names of components, and mean all of them if there are none.

Reads ``.env`` in the repository's root; what is set in the environment wins.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection, Sequence

from local.cloud import gcs, postgres, source
from local.cloud.processes import Process, ProcessError, Started, answers, raise_on_signals, start, status, stop
from local.cloud.settings import REPOSITORY, Settings, load_env_file

GROUP = "cloud"
NAMES = ("gcs", "bigquery", "postgres", source.NAME)


def components(settings: Settings) -> list[Process]:
    """What the embedded cloud consists of under ``settings``.

    Raises:
        ProcessError: SOURCE names a folder that cannot be served, or a program is not installed.
    """
    served = source.process(settings)
    return [gcs.process(settings), _bigquery(settings), postgres.process(settings), *([served] if served else [])]


def up(settings: Settings, *, names: Collection[str] = NAMES) -> None:
    """Start what does not run of the components ``names``, and print a line for each as it becomes ready.

    A source server that is not wanted any more, because SOURCE names one elsewhere now, is stopped.

    Raises:
        ProcessError: something cannot be started; whatever this call started is stopped again.
    """
    begin = time.monotonic()
    everything = components(settings)
    if source.NAME not in {process.name for process in everything}:
        stop(run_dir=settings.run_dir, names=[source.NAME])
    wanted = [process for process in everything if process.name in names]
    started = start(wanted, run_dir=settings.run_dir, on_ready=_print_started)
    if all(one.outcome == "running" for one in started):
        print("everything is up already")
    else:
        print(f"up in {time.monotonic() - begin:.1f} s; state in {settings.state_dir}, logs in {settings.log_dir}")


def down(settings: Settings, *, names: Collection[str] = NAMES) -> None:
    """Stop those of the components ``names`` that run; the data stays.

    Raises:
        ProcessError: a process cannot be ended.
    """
    stopped = stop(run_dir=settings.run_dir, names=names)
    for one in stopped:
        note = "had died before" if one.was_dead else "killed, it did not stop in time" if one.killed else "stopped"
        print(f"{one.name:<10}{note}")
    if not stopped:
        print("nothing is running")


def report(settings: Settings) -> bool:
    """Print how each component is, and return whether all are healthy."""
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
        stop_timeout=30,  # it writes its database to disk first
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
    """Run the command; returns its exit code: 1 if it failed, or if ``status`` finds anything not healthy."""
    parser = argparse.ArgumentParser(prog="python -m local.cloud", description="The embedded cloud.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "start everything that does not run"),
        ("down", "stop everything; the data stays"),
        ("status", "tell what runs; exit 0 only if everything is healthy"),
    ):
        parsed = commands.add_parser(name, help=text, description=text)
        if name != "status":
            parsed.add_argument("names", nargs="*", metavar="NAME", help=f"only these of {', '.join(NAMES)}")
    options = parser.parse_args(arguments)
    unknown = set(vars(options).get("names", ())) - set(NAMES)
    if unknown:
        parser.error(f"unknown component {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    raise_on_signals()
    try:
        load_env_file(REPOSITORY / ".env")
        settings = Settings.from_env()
        if options.command == "status":
            return 0 if report(settings) else 1
        (up if options.command == "up" else down)(settings, names=options.names or NAMES)
    except (ProcessError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
