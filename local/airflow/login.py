"""The users of the local stack's login: those of Airflow's simple auth manager, or the first one of FAB's.

``python -m local.airflow.login`` makes FAB's administrator ``admin``, unless there is one; its input is the password.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from secrets import token_urlsafe

from local.airflow.environment import AirflowSettings
from local.cloud.processes import ProcessError
from local.cloud.settings import REPOSITORY

AUTH_MANAGER = "AIRFLOW__CORE__AUTH_MANAGER"
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
ADMIN = "admin"
_SIMPLE_USERS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"


def uses_fab(settings: AirflowSettings) -> bool:
    """Whether FAB's auth manager has the users.

    Raises:
        ProcessError: it shall, and is not installed.
    """
    if settings.environment()[AUTH_MANAGER] != FAB:
        return False
    try:
        version("apache-airflow-providers-fab")
    except PackageNotFoundError:
        raise ProcessError(
            "AIRFLOW__CORE__AUTH_MANAGER is FAB's, which is not installed; run make .venv/.team"
        ) from None
    return True


def write_passwords(settings: AirflowSettings) -> None:
    """Give each user of the simple auth manager a password.

    Airflow would give those that have none one of its own, and write it into a log.
    """
    path = settings.home / "passwords.json"
    path.touch(mode=0o600)
    known = json.loads(path.read_text() or "{}")
    given = settings.environment()[_SIMPLE_USERS].split(",")
    names = [user.partition(":")[0].strip() for user in given]
    passwords = {name: settings.password() if name == ADMIN else token_urlsafe() for name in names} | known
    if passwords != known:
        path.write_text(json.dumps(passwords))


def create_admin(settings: AirflowSettings) -> None:
    """Make FAB's administrator, unless there is one; the database is migrated.

    Raises:
        ProcessError: it cannot be made; the message includes what was printed.
    """
    environment = settings.environment()
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "plugins"), environment["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "local.airflow.login"],
        env={**os.environ, **environment, "PYTHONPATH": path},
        cwd=settings.home,
        input=settings.password(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ProcessError(f"FAB's user {ADMIN} was not made:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def main() -> None:
    """Make FAB's administrator of what standard input says."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded

    @providers_configuration_loaded
    def create(password: str) -> None:
        with get_application_builder() as builder:
            users = builder.sm
            if users.find_user(ADMIN) is None:
                made = users.add_user(ADMIN, "Local", "Admin", f"{ADMIN}@localhost", users.find_role("Admin"), password)
                assert made, "see the lines above"

    create(sys.stdin.read())


if __name__ == "__main__":
    main()
