"""Runs the Prefect CLI, with its server behind the guard against web pages.

``python -m comparison.guarded_prefect [ARGUMENT ...]``, in Prefect's environment.

``prefect server start`` answers pages of every address and under every host name, so a page could create a deployment
whose command the worker then runs. Prefect has no hook for middleware around all of its server. Its command hands the
application to ``uvicorn.run``; this program replaces that function. The application itself stays as it is, because
Prefect's services call it within the process, under a host name of their own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

from local.cloud.guard import Guard

_ONE_PROCESS = (
    "error: the server runs in this process only, because another one would have no guard against web pages; leave out "
    "--background and --workers, and start it in a terminal of its own"
)


def guard_server() -> None:
    """Make this process's ``prefect server start`` serve behind the guard, or refuse to start."""
    import uvicorn
    from prefect.cli import _server_utils

    serve = uvicorn.run

    def serve_guarded(app: Any, **options: Any) -> None:
        if isinstance(app, str):  # --workers: uvicorn imports the application in other processes
            raise SystemExit(_ONE_PROCESS)
        serve(Guard(app), **options)

    uvicorn.run = serve_guarded
    # Fails if Prefect has renamed it: the assignment alone would then leave --background as it is.
    _ = _server_utils._run_in_background
    _server_utils._run_in_background = _refuse_background


def _refuse_background(console: object, pid_file: Path, *_: object, **__: object) -> NoReturn:
    pid_file.unlink(missing_ok=True)  # the command has just created it
    raise SystemExit(_ONE_PROCESS)


def main() -> NoReturn:
    """Run the Prefect CLI with this program's arguments."""
    from prefect.cli import app

    guard_server()
    sys.exit(app())


if __name__ == "__main__":
    main()
