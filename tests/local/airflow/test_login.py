"""The users of the local stack's login."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError

import pytest

from local.airflow import login
from local.airflow.login import AUTH_MANAGER, FAB
from local.cloud.processes import ProcessError
from local.cloud.settings import private_folder


def test_each_user_of_the_simple_auth_manager_has_a_password_of_their_own(make_settings) -> None:
    settings = make_settings()
    private_folder(settings.home)
    path = settings.home / "passwords.json"
    login.write_passwords(settings)
    assert json.loads(path.read_text()) == {"admin": settings.password()}
    assert path.stat().st_mode & 0o777 == 0o600

    more = make_settings(AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS="admin:admin,ann:user, bob:viewer")
    login.write_passwords(more)
    made = json.loads(path.read_text())
    assert list(made) == ["admin", "ann", "bob"]
    assert made["admin"] == settings.password()
    assert len(set(made.values())) == 3
    assert min(map(len, made.values())) > 30
    login.write_passwords(more)
    assert json.loads(path.read_text()) == made


def test_fab_is_one_setting(make_settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not login.uses_fab(make_settings())
    settings = make_settings(**{AUTH_MANAGER: FAB})
    monkeypatch.setattr(login, "version", lambda name: "1")
    assert login.uses_fab(settings)


def test_fab_that_is_not_installed_is_told(make_settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(login, "version", missing)
    with pytest.raises(ProcessError, match=r"is FAB's, which is not installed; run make .venv/.team"):
        login.uses_fab(make_settings(**{AUTH_MANAGER: FAB}))
