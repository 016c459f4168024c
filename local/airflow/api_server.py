"""Serves Airflow's UI and APIs behind the guard against web pages.

``python -m local.airflow.api_server [--allow-host NAME[:PORT] ...]``

``airflow api-server`` answers under any host name, so that a page could read the UI by DNS rebinding once its user is
logged in. Airflow's hook for middleware (``fastapi_root_middlewares`` of a plugin) would put the guard into every
deployment that loads ``plugins/``, also those behind proxies and host names of their own. Only the local stack and
``docker-compose.yaml`` use this command; the image does not contain it, Compose mounts this file and the guard's. It
runs uvicorn as ``airflow api-server`` does.
"""

from __future__ import annotations

import argparse
import gc
import sys
from typing import Any

from local.cloud.guard import Guard, add_allow_host

APPLICATION = "airflow.api_fastapi.main:app"
"""What ``airflow api-server`` serves."""


def create_app() -> Guard:
    """Return Airflow's application behind the guard, with the hosts that the command's arguments allow."""
    from airflow.api_fastapi.main import app  # builds the whole application

    # A full garbage collection looks at all objects of the application, which live on: half a second without an answer.
    gc.freeze()
    # Worker processes have the same arguments: multiprocessing hands them on.
    return Guard(app, allow_hosts=allowed_hosts(sys.argv[1:]))


def allowed_hosts(arguments: list[str]) -> list[str]:
    """Return the hosts that the options ``--allow-host`` name; end the process if an argument is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m local.airflow.api_server", description="Airflow's UI and APIs, behind the guard."
    )
    add_allow_host(parser)
    return parser.parse_args(arguments).allow_host


def uvicorn_options() -> dict[str, Any]:
    """Return the options that ``airflow api-server`` gives to uvicorn, read from Airflow's configuration."""
    from airflow.configuration import conf

    timeout = conf.getint("api", "worker_timeout")
    return {
        "host": conf.get("api", "host"),
        "port": conf.getint("api", "port"),
        "workers": conf.getint("api", "workers"),
        "timeout_keep_alive": timeout,
        "timeout_graceful_shutdown": timeout,
        "timeout_worker_healthcheck": timeout,
        "access_log": False,
        "log_level": conf.get("logging", "uvicorn_logging_level").lower(),
        "proxy_headers": False,
        "log_config": None,
    }


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    import uvicorn
    from airflow.api_fastapi.auth.tokens import get_signing_args

    allowed_hosts(sys.argv[1:])
    get_signing_args()  # all worker processes must have the same
    uvicorn.run("local.airflow.api_server:create_app", factory=True, **uvicorn_options())


if __name__ == "__main__":
    main()
