"""Serves Airflow's UI and APIs behind the guard against web pages: ``python -m local.airflow.api_server``.

``airflow api-server`` answers under any host name, so that a page could read the UI by DNS rebinding once its user is
logged in. Airflow's hook for middleware (``fastapi_root_middlewares`` of a plugin) would put the guard into every
deployment that loads ``plugins/``, also those behind proxies and host names of their own; this command is the local
stack's alone. It runs uvicorn as ``airflow api-server`` does.
"""

from __future__ import annotations

from typing import Any

from local.cloud.guard import Guard

APPLICATION = "airflow.api_fastapi.main:app"
"""What ``airflow api-server`` serves."""


def create_app() -> Guard:
    """Return Airflow's application behind the guard."""
    from airflow.api_fastapi.main import app  # builds the whole application

    return Guard(app)


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

    get_signing_args()  # all worker processes must have the same
    uvicorn.run("local.airflow.api_server:create_app", factory=True, **uvicorn_options())


if __name__ == "__main__":
    main()
