"""Shows on a terminal what a command waits for; elsewhere nothing, so that logs and pipes get plain lines alone.

Both environments import this module, so it depends on nothing that one of them lacks.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from local.cloud.processes import Process, Started, start

_ERASE = "\r\x1b[K"


class StatusLine:
    """One line at the end of the output, which the next text replaces. As a context manager it is gone after the block.

    It is shown only if the output is a terminal that can erase a line, and the user has not set ``NO_COLOR``, which
    asks for output without escape codes.

    Args:
        stream: where it is shown; by default standard output.
        environ: the environment.
    """

    def __init__(self, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self._stream = stream or sys.stdout
        self._is_live = self._stream.isatty() and environ.get("TERM", "dumb") != "dumb" and not environ.get("NO_COLOR")
        self._shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.show("")

    def show(self, text: str) -> None:
        """Replace the line; an empty text erases it. Call it so before anything else is printed."""
        if self._is_live and text != self._shown:
            width = shutil.get_terminal_size().columns
            self._stream.write(_ERASE + text[: width - 1])
            self._stream.flush()
            self._shown = text


def start_and_tell(
    processes: Sequence[Process], *, run_dir: Path, report: Callable[[Started], object]
) -> list[Started]:
    """Start processes as ``processes.start`` does, and show which are not ready yet.

    Args:
        processes: what to start.
        run_dir: the folder of their records.
        report: prints a line for a process that is ready.

    Raises:
        ProcessError: as ``processes.start``.
    """
    waiting = [process.name for process in processes]
    with StatusLine() as line:

        def on_ready(started: Started) -> None:
            line.show("")
            report(started)
            waiting.remove(started.process.name)
            line.show(waiting_for(waiting))

        line.show(waiting_for(waiting))
        return start(processes, run_dir=run_dir, on_ready=on_ready)


def waiting_for(names: Iterable[str]) -> str:
    """Return the text of a line that names what is awaited; empty if that is nothing."""
    listed = ", ".join(names)
    return f"waiting for {listed} ..." if listed else ""
