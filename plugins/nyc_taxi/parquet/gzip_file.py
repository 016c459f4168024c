"""Opens CSV files, gzipped or not, for Arrow: with padded archives, and clear messages for what is no archive."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa

from nyc_taxi.parquet.batches import first_bytes
from nyc_taxi.registry.model import ContractError

_CHUNK_BYTES = 1 << 18
GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def check_beginning(source: Path) -> None:
    """Refuse a file whose content does not match its name, or which is not text in UTF-8 or Latin-1.

    Raises:
        ContractError: the content is of another kind; the message says which.
    """
    with source.open("rb") as file:
        begin = file.read(len(_PARQUET_MAGIC))
    if begin.startswith(_PARQUET_MAGIC):
        raise ContractError("it is Parquet, not CSV; set the layout of the connection taxi_source to tlc")
    if source.suffix != ".gz":
        if begin.startswith(GZIP_MAGIC):
            raise ContractError("it is gzip, but its name does not end in .gz; unpack it at the source")
        if begin.startswith(_UTF_16):
            raise ContractError("it is UTF-16; write it as UTF-8")
    elif begin and not begin.startswith(GZIP_MAGIC):
        raise ContractError(f"it is not gzip; it begins with {first_bytes(source)}; check the source's address")


class CsvBytes(NamedTuple):
    """A CSV file that is open for reading.

    Attributes:
        stream: its bytes, unpacked.
        packed: the file itself; its position says how much has been read.
    """

    stream: pa.NativeFile
    packed: pa.NativeFile


def open_csv_bytes(source: Path) -> CsvBytes:
    """Open a file for reading, unpacked if its name ends in ``.gz``.

    Arrow reads all members of an archive, but fails at zeros behind the last one. Tapes and block devices leave such
    zeros, and gzip itself ignores them.
    """
    if source.suffix != ".gz":
        file = pa.OSFile(str(source))
        return CsvBytes(file, file)
    end = content_end(source)
    packed = pa.OSFile(str(source)) if end is None else pa.BufferReader(pa.memory_map(str(source)).read_buffer(end))
    return CsvBytes(pa.CompressedInputStream(packed, "gzip"), packed)


def content_end(source: Path) -> int | None:
    """Return the position at which zeros begin that pad a gzip file; None if it is not padded or damaged.

    The last bytes of an archive are its length, so it may end in zeros of its own. Only unpacking it tells them apart.
    An archive of 16 MB or more rarely ends in a zero, so this costs nothing for large files.
    """
    with source.open("rb") as file:
        if not file.seek(0, 2):
            return None
        file.seek(-1, 2)
        if file.read(1) != b"\0":
            return None
        file.seek(0)
        return _padding(file)


def _padding(file: BinaryIO) -> int | None:
    """Return the position behind the last member if only zeros follow."""
    rest = file.read(_CHUNK_BYTES)
    while rest.startswith(GZIP_MAGIC[:1]):
        member = zlib.decompressobj(wbits=31)
        try:
            while not member.eof:
                if not rest:
                    return None
                member.decompress(rest, _CHUNK_BYTES)
                rest = member.unconsumed_tail or (member.unused_data if member.eof else file.read(_CHUNK_BYTES))
        except zlib.error:
            return None
        rest = rest or file.read(_CHUNK_BYTES)
    if not rest:
        return None
    end = file.tell() - len(rest)
    while rest:
        if rest.strip(b"\0"):
            return None
        rest = file.read(_CHUNK_BYTES)
    return end
