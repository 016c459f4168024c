"""Atomic file writes, and full disks."""

from __future__ import annotations

import errno
import threading
import uuid
from pathlib import Path

import pytest

from nyc_taxi.common.files import DiskFullError, explained_disk_full, whole_file


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "file.parquet"
    with whole_file(target) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == target.parent
        assert temporary != target
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert list(target.parent.iterdir()) == [target]


def test_an_earlier_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old and longer")
    with whole_file(target) as temporary:
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old and longer"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("earlier", [None, b"old"])
def test_a_failure_leaves_the_existing_file(tmp_path: Path, error: type[BaseException], earlier: bytes | None) -> None:
    target = tmp_path / "file"
    if earlier is not None:
        target.write_bytes(earlier)

    def fail() -> None:
        with whole_file(target) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == (
        {} if earlier is None else {"file": earlier}
    )


def test_a_block_that_writes_nothing_fails(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), whole_file(target):
        pass
    assert target.read_bytes() == b"old"


def test_concurrent_writers_do_not_mix_and_the_last_to_finish_wins(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with whole_file(target) as first:
        first.write_bytes(b"first, ")
        with whole_file(target) as second:
            assert second != first
            second.write_bytes(b"second")
        assert target.read_bytes() == b"second"
        first.write_bytes(b"first, finished last")
    assert target.read_bytes() == b"first, finished last"


def test_many_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    bodies = [bytes([number]) * 100_000 for number in range(8)]
    together = threading.Barrier(len(bodies))

    def write(body: bytes) -> None:
        together.wait()
        for _ in range(20):
            with whole_file(target) as temporary:
                temporary.write_bytes(body)

    writers = [threading.Thread(target=write, args=(body,)) for body in bodies]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert target.read_bytes() in bodies
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_names_the_file_the_space_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "run" / "file.parquet"
    target.parent.mkdir()
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=7))
    # Writing to this device fails as on a full disk.
    target.with_name(f".{target.name}.{uuid.UUID(int=7).hex}.part").symlink_to("/dev/full")
    with pytest.raises(DiskFullError) as caught, whole_file(target) as temporary:
        temporary.write_bytes(b"x" * 100)
    assert caught.value.errno == errno.ENOSPC
    message = str(caught.value)
    assert f"cannot write {target}: its disk is full; " in message
    assert f" are free in {target.parent}. Free some space there, or set the variable work_dir to a folder" in message
    assert list(target.parent.iterdir()) == []


def test_a_full_disk_is_explained_where_even_the_folder_could_not_be_made(tmp_path: Path) -> None:
    target = tmp_path / "no" / "such" / "file"
    message = f"the disk quota is used up; .* are free in {tmp_path}"
    with pytest.raises(DiskFullError, match=message), explained_disk_full(target):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


def test_another_error_of_the_system_passes_as_it_is(tmp_path: Path) -> None:
    refusal = PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(PermissionError) as caught, whole_file(tmp_path / "file"):
        raise refusal
    assert caught.value is refusal
