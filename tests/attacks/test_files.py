"""A hostile source: archives and Parquet files that unpack without end, state what is not there, or are nested.

They are converted in a process whose address space may grow by ``MEMORY`` and no more.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.attacks.promises import attack
from tests.nyc_taxi.support import GREEN_ROW, green_table, parquet_bytes

# Unpacking what pretends to be huge takes a minute.
pytestmark = pytest.mark.full

ROOT = Path(__file__).parents[2]
MEMORY = 1 << 30
MEGABYTE = 1 << 20
HEADER = ",".join(GREEN_ROW).encode() + b"\n"
ROW = ",".join(GREEN_ROW.values()).encode() + b"\n"
CONVERT = f"""
import json, os, resource, sys
from pathlib import Path
from nyc_taxi.parquet.convert import to_parquet
from nyc_taxi.registry.datasets import GREEN
from nyc_taxi.registry.model import ContractError
from nyc_taxi.registry.months import Month
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + {MEMORY},) * 2)
for name in sys.argv[2:]:
    try:
        done = to_parquet(Path(name), Path(sys.argv[1]), dataset=GREEN, month=Month(2021, 1))
        print(json.dumps(done.rows), flush=True)
    except ContractError as error:
        print(json.dumps(str(error)), flush=True)
# As a task of Airflow's ends. Where Arrow's reader was left early, its threads may still read ahead, and the end of the
# interpreter does not wait for them (github.com/apache/arrow/issues/43604).
os._exit(0)
"""


@dataclass(frozen=True)
class Bomb:
    """A hostile file.

    Attributes:
        name: what it does.
        content: makes the content.
        outcome: the number of rows, or the beginning of the reason for the refusal.
    """

    name: str
    content: Callable[[], bytes]
    outcome: int | str


def _archive(*parts: tuple[bytes, int]) -> bytes:
    """Return a gzip file of ``parts``, each a text and how often it is repeated.

    A block that is flushed in full can be repeated packed, so that gigabytes take milliseconds.
    """
    packed, checksum, length = [b"\x1f\x8b\x08" + bytes(7)], 0, 0
    for text, times in parts:
        block = text * max(1, MEGABYTE // len(text))
        whole, rest = divmod(times, len(block) // len(text))
        for content, count in ((block, whole), (text * rest, 1)):
            packer = zlib.compressobj(1, zlib.DEFLATED, -15)
            packed += [packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)] * count
            for _ in range(count):
                checksum = zlib.crc32(content, checksum)
            length += len(content) * count
    end = zlib.compressobj(1, zlib.DEFLATED, -15).flush()
    return b"".join([*packed, end, struct.pack("<II", checksum, length & 0xFFFFFFFF)])


def _with_footer(content: bytes, old: int, new: int) -> bytes:
    """Return the Parquet file with the first ``old`` in its footer replaced by ``new``."""
    (length,) = struct.unpack("<I", content[-8:-4])
    begin = len(content) - 8 - length
    footer = content[begin:-8].replace(_number(old), _number(new), 1)
    assert footer != content[begin:-8]
    return content[:begin] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _number(number: int) -> bytes:
    """Return a 64-bit number in thrift's compact protocol, preceded by its field type."""
    number, content = number << 1, [0x16]
    while number > 127:
        content.append(number & 127 | 128)
        number >>= 7
    return bytes([*content, number])


def _large_column() -> bytes:
    content = parquet_bytes(green_table(12_345))
    size = pq.read_metadata(io.BytesIO(content)).row_group(0).column(0).total_uncompressed_size
    return _with_footer(content, size, 1 << 42)


def _dictionary() -> bytes:
    text = pa.array(["x" * (16 * MEGABYTE)])
    flags = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), text)
    return parquet_bytes(green_table(100_000, store_and_fwd_flag=flags), compression="zstd")


def _nested(depth: int) -> pa.Array:
    nested = pa.array([1, 2, 3])
    for _ in range(depth):
        nested = pa.StructArray.from_arrays([nested], ["VendorID"])
    return nested


GZIP = [
    Bomb("a line of 1 GB", lambda: _archive((HEADER, 1), (ROW, 1), (b"x", 1 << 30)), "after row 2: a row is longer"),
    Bomb("a quoted field of 1 GB", lambda: _archive((HEADER, 1), (b'"', 1), (b"x", 1 << 30)), "after row 1: a row is"),
    Bomb("1 GB of quotes", lambda: _archive((HEADER, 1), (b'"', 1 << 30)), "after row 1: a row is longer"),
    Bomb("1 GB of zeros", lambda: _archive((b"\0", 1 << 30)), "its columns differ"),
    Bomb("a header of 1 GB", lambda: _archive((b"x,", 1 << 29), (b"\n", 1)), "its columns differ"),
    Bomb("64 MB of empty lines", lambda: _archive((HEADER, 1), (b"\n", 1 << 26)), "it has columns but no rows"),
    Bomb("64 MB before the header", lambda: _archive((b"\n", 1 << 26), (HEADER, 1), (ROW, 1)), "it is empty"),
    Bomb("300,000 equal rows", lambda: _archive((HEADER, 1), (ROW, 300_000)), 300_000),
    Bomb("100,000 empty members", lambda: _archive((HEADER, 1), (ROW, 1)) + gzip.compress(b"") * 100_000, 1),
    Bomb("64 MB of padding", lambda: _archive((HEADER, 1), (ROW, 1)) + bytes(1 << 26), 1),
    Bomb("another file in the padding", lambda: _archive((HEADER, 1), (ROW, 1)) + bytes(1 << 20) + ROW, "it has bytes"),
    Bomb("an archive in the archive", lambda: gzip.compress(_archive((HEADER, 1), (ROW, 1))), "it is gzipped twice"),
    Bomb("a stated length of 4 GB", lambda: _archive((HEADER, 1), (ROW, 1))[:-4] + b"\xff" * 4, "it is damaged: "),
]
PARQUET = [
    Bomb("a footer with a billion rows", lambda: _with_footer(parquet_bytes(green_table(12_345)), 12_345, 10**9),
         "it is damaged: its footer states 1000000000 rows, but it has 12345"),
    Bomb("a negative number of rows", lambda: _with_footer(parquet_bytes(green_table(12_345)), 12_345, 2**63 - 1),
         "it is damaged: "),
    Bomb("a column of 4 TB", _large_column, "column VendorID: row group 0 has 4,398,046,511,104 bytes"),
    Bomb("a footer of 4 GB", lambda: parquet_bytes(green_table())[:-8] + b"\xff" * 4 + b"PAR1", "it is damaged: "),
    Bomb("a text of 64 MB", lambda: parquet_bytes(
        green_table(store_and_fwd_flag=pa.array(["N", "x" * 64 * MEGABYTE, "N"])), compression="zstd"),
         f"column store_and_fwd_flag: row 2: '{'x' * 60}'... is not a valid text value"),
    Bomb("16 MB of text in each of 100,000 rows", _dictionary,
         f"column store_and_fwd_flag: row 1: '{'x' * 60}'... is not a valid text value"),
    Bomb("digits of 64 MB", lambda: parquet_bytes(
        green_table(trip_type=pa.array(["1", "9" * 64 * MEGABYTE, "1"])), compression="zstd"),
         f"column trip_type: row 2: '{'9' * 60}'... is not a valid integer"),
    Bomb("lists for numbers", lambda: parquet_bytes(green_table(VendorID=pa.array([[1], [2] * 1000, []]))),
         "column VendorID has type list<element: int64>; expected integer"),
    Bomb("90 structs in one another", lambda: parquet_bytes(green_table(VendorID=_nested(90))), "column VendorID has"),
    Bomb("1,000 structs in one another", lambda: parquet_bytes(green_table(VendorID=_nested(1000))), "it is damaged: "),
    Bomb("20,000 columns", lambda: parquet_bytes(
        green_table(**{f"x{number}": pa.array([0] * 3) for number in range(20_000)})), "its columns differ"),
    Bomb("a name of 16 MB", lambda: parquet_bytes(green_table(**{"x" * 16 * MEGABYTE: pa.array([0] * 3)})),
         "its footer has "),
]  # fmt: skip


BOMBS = {"csv.gz": GZIP, "parquet": PARQUET}


def _converted(folder: Path, contents: Iterable[bytes], *, suffix: str) -> list[Any]:
    """Convert each content in one process with little memory; return numbers of rows, and reasons of refusals."""
    names = []
    for number, content in enumerate(contents):
        names.append(folder / f"{number}.{suffix}")
        names[-1].write_bytes(content)
    command = [sys.executable, "-c", CONVERT, str(folder / "target.parquet"), *map(str, names)]
    # Else each of Arrow's threads reserves addresses for itself. On a busy machine more of them are at work at once,
    # and once left a later file too few.
    env = {"PYTHONPATH": str(ROOT / "plugins"), "MALLOC_ARENA_MAX": "2"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    at = names[len(results)] if len(results) < len(names) else "nothing more"
    assert done.returncode == 0, f"the conversion of {at} ended with {done.returncode}: {done.stderr[-2000:]}"
    assert not list(folder.glob("*.part"))
    return results


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Convert all hostile files, one after another in one process for each format; a file that ends it has none."""
    found: dict[str, Any] = {}
    for suffix, bombs in BOMBS.items():
        contents = (bomb.content() for bomb in bombs)
        results = _converted(tmp_path_factory.mktemp("bombs"), contents, suffix=suffix)
        found |= dict(zip((bomb.name for bomb in bombs), results, strict=False))
    return found


@attack("files-are-bounded")
@pytest.mark.parametrize("bomb", [*GZIP, *PARQUET], ids=lambda bomb: bomb.name)
def test_a_hostile_file_takes_little_memory(outcomes: dict[str, Any], bomb: Bomb) -> None:
    outcome = outcomes[bomb.name]
    if isinstance(bomb.outcome, int):
        assert outcome == bomb.outcome
    else:
        assert f" is not a valid green file: {bomb.outcome}" in outcome
        assert len(outcome) < 4000


def _changed(numbers: random.Random, content: bytes) -> bytes:
    """Return the content with some bytes replaced, removed, or doubled."""
    changed = bytearray(content)
    for _ in range(numbers.randint(1, 4)):
        place = numbers.randrange(len(changed))
        end = place + numbers.choice((1, 1, 2, 8))
        changed[place:end] = numbers.choice(
            (numbers.randbytes(end - place), b"", changed[place:end] * 2, b"\xff" * (end - place), bytes(end - place))
        )
    return bytes(changed)


@attack("files-are-bounded")
@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("csv.gz", gzip.compress(HEADER + ROW * 50, mtime=0)),
        ("csv", HEADER + ROW * 5),
        ("parquet", parquet_bytes(green_table(50), compression="zstd")),
        ("parquet", parquet_bytes(green_table(50), compression="none", use_dictionary=False)),
    ],
    ids=["csv.gz", "csv", "parquet", "plain parquet"],
)
def test_a_file_with_any_bytes_changed_is_converted_or_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    numbers = random.Random(suffix)
    outcomes = _converted(tmp_path, [_changed(numbers, content) for _ in range(400)], suffix=suffix)
    assert len(outcomes) == 400
    refusals = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert len(refusals) > 80
    assert all(" is not a valid green file: " in refusal for refusal in refusals)
