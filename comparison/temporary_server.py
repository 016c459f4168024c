"""What a program needs to start a temporary Prefect server that answers only itself.

A flow that is called without the address of a server starts one for as long as its process lives, on a random port.
Prefect starts it in a process of its own, which the guard cannot be put around. So the server asks for a password.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

_OF_ANOTHER_SERVER = ("PREFECT_API_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL")


def settings() -> dict[str, str]:
    """Return the settings of a temporary server and its client, with a new password."""
    password = f"flow:{secrets.token_urlsafe(32)}"
    return {
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_API_AUTH_STRING": password,
        # The origin of no page; an empty value would leave the default, which is every page.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "none",
        # The default of twenty seconds is too short on a busy machine.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }


def environment(of: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables with which flows start a temporary server, in place of using another one."""
    return {name: value for name, value in of.items() if name not in _OF_ANOTHER_SERVER} | settings()
