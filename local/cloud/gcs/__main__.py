"""The GCS emulator's command: ``python -m local.cloud.gcs --port 4443 --root DIR``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from local.cloud.gcs.backend import running
from local.cloud.gcs.front import Front
from local.cloud.gcs.names import NameRefusedError, check_bucket
from local.cloud.guard import Guard, add_allow_host
from local.cloud.processes import ProcessError
from local.cloud.settings import HOST

_DRAIN_SECONDS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    Returns:
        The exit code: 0 after a clean stop, 1 if fake-gcs-server could not start or has ended.
    """
    parser = argparse.ArgumentParser(prog="python -m local.cloud.gcs", description="The embedded Cloud Storage.")
    parser.add_argument("--host", default=HOST, help=f"the address to listen on; default {HOST}")
    parser.add_argument("--port", type=int, required=True, help="TCP port to listen on")
    parser.add_argument("--root", type=Path, required=True, help="folder of the buckets")
    parser.add_argument("--bucket", action="append", default=[], help="create this bucket; can be repeated")
    add_allow_host(parser)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        for bucket in given.bucket:
            (given.root / check_bucket(bucket)).mkdir(parents=True, exist_ok=True)
        return serve(root=given.root, host=given.host, port=given.port, allow_hosts=given.allow_host)
    except (NameRefusedError, ProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def serve(*, root: Path, host: str, port: int, allow_hosts: Sequence[str]) -> int:
    """Serve the buckets in ``root``; open requests then have two seconds to finish.

    Raises:
        ProcessError: fake-gcs-server does not start.
    """
    code = 0
    with running(root=root, public=f"{HOST}:{port}") as backend:
        config = uvicorn.Config(
            Guard(Front(backend, root=root), allow_hosts=allow_hosts),
            host=host,
            port=port,
            http="httptools",
            loop="asyncio",
            ws="none",
            lifespan="off",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            log_config=None,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
        server = uvicorn.Server(config)

        def ended(exit_code: int) -> None:
            nonlocal code
            if not server.should_exit:
                logging.error("fake-gcs-server has ended with code %s; see its output above", exit_code)
                code, server.should_exit = 1, True

        backend.when_ended(ended)
        server.run()
    return code


if __name__ == "__main__":
    sys.exit(main())
