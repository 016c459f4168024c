"""The servers of the local stack without their guards, as the baseline of what the guards cost.

``python -m benchmarks.unguarded gcs --port N --root DIR`` runs fake-gcs-server itself, without the front and TLS.
``bigquery`` and ``api-server`` run those servers without the guard; their further arguments are the servers' own.
Only benchmarks start them: a web page that is open meanwhile could send them requests.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from local.cloud.settings import HOST


def main() -> None:
    """Become the server that the first argument names."""
    name = sys.argv.pop(1)
    {"gcs": _gcs, "bigquery": _bigquery, "api-server": _api_server}[name]()


def gcs_command(binary: Path | str, *, port: int, root: Path) -> list[str]:
    """The command of a fake-gcs-server that answers plain HTTP."""
    address = f"{HOST}:{port}"
    return [
        *(str(binary), "-scheme=http", f"-host={HOST}", f"-port={port}", f"-filesystem-root={root}"),
        *(f"-public-host={address}", f"-external-url=http://{address}"),
    ]


def _gcs() -> None:
    from local.cloud.gcs.backend import binary

    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--root", type=Path, required=True)
    given = parser.parse_args()
    command = gcs_command(binary(), port=given.port, root=given.root)
    os.execv(command[0], command)


def _bigquery() -> None:
    from local.cloud.bigquery import server

    with patch.object(server, "Guard", _unguarded):
        sys.exit(server.main())


def _api_server() -> None:
    from local.airflow import api_server

    with patch.object(api_server, "Guard", _unguarded):
        api_server.main()


def _unguarded(app: Any, *, allow_hosts: Sequence[str] = ()) -> Any:
    return app


if __name__ == "__main__":
    main()
