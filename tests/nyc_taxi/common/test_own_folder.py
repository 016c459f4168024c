"""The temporary folder of a task: it is removed with the task, or by the next one if the task was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nyc_taxi.common.own_folder import PREFIX, SUFFIX, is_own, own_folder, remove_abandoned

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
_TASK = """
import time
from nyc_taxi.common.own_folder import own_folder
with own_folder() as folder:
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_bytes(b"x")
    print(folder, flush=True)
    time.sleep(3600)
"""


@pytest.fixture
def tmpdir_of_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def task(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A living task, and its folder."""
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(PLUGINS)}
    with subprocess.Popen([sys.executable, "-c", _TASK], env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_the_folder_is_private_and_goes_with_the_block(tmpdir_of_machine: Path) -> None:
    with own_folder() as folder:
        assert list(folder.iterdir()) == []
        assert folder.parent == tmpdir_of_machine
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").write_bytes(b"x")
        assert is_own(folder / "file")
    with pytest.raises(FileExistsError), own_folder() as folder:
        folder.mkdir()
    assert list(tmpdir_of_machine.iterdir()) == []


def test_the_next_task_removes_the_folder_of_a_killed_one_and_of_no_living_one(
    tmpdir_of_machine: Path, task: tuple[subprocess.Popen[str], Path]
) -> None:
    process, folder = task
    with own_folder() as own:
        assert {own, folder} == set(tmpdir_of_machine.iterdir())
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / "deep" / "file").exists()
    with own_folder() as own:
        assert list(tmpdir_of_machine.iterdir()) == [own]
    assert list(tmpdir_of_machine.iterdir()) == []


@pytest.mark.parametrize("name", ["nyc-taxi-work", f"{PREFIX}x", f"x{SUFFIX}", f"{PREFIX}file{SUFFIX}", "link"])
def test_nothing_else_is_removed(tmpdir_of_machine: Path, name: str) -> None:
    kept = tmpdir_of_machine / name
    if name == "link":
        (tmpdir_of_machine / "target").mkdir()
        kept = tmpdir_of_machine / f"{PREFIX}{name}{SUFFIX}"
        kept.symlink_to(tmpdir_of_machine / "target")
    elif "file" in name:
        kept.write_bytes(b"x")
    else:
        kept.mkdir()
    remove_abandoned()
    assert kept.exists()
    assert not is_own(tmpdir_of_machine / "nyc-taxi-work" / "file")


def test_the_folder_of_another_user_stays(tmpdir_of_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmpdir_of_machine / f"{PREFIX}x{SUFFIX}"
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
        remove_abandoned()
    assert folder.exists()
    remove_abandoned()
    assert not folder.exists()


def test_a_folder_that_is_taken_for_an_abandoned_one_before_it_is_locked_is_made_again(
    tmpdir_of_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkdtemp
    made: list[str] = []

    def mkdtemp(**arguments: Any) -> str:
        made.append(make(**arguments))
        if len(made) == 1:
            remove_abandoned()
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    with own_folder() as folder:
        assert [str(folder)] == made[1:]
        assert list(tmpdir_of_machine.iterdir()) == [folder]
