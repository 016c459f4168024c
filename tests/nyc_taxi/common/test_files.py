"""Atomic file writes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from nyc_taxi.common.files import whole_file


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
