"""Provenance: one line in a Parquet file's metadata that says what it was made from, used to skip unchanged months."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from nyc_taxi.parquet.batches import is_system_error
from nyc_taxi.registry.model import Dataset

METADATA_KEY = "nyc_taxi.provenance"
# Increase it when the conversion of the same file to the same columns gives different rows than before.
CONVERSION = 3


def contract_id(dataset: Dataset) -> str:
    """Return a short hash of the dataset's contract; it changes with the columns and the conversion."""
    columns = [(column.name, column.type.value) for column in dataset.columns]
    return hashlib.sha256(repr((CONVERSION, columns)).encode()).hexdigest()[:10]


def provenance(dataset: Dataset, source_name: str, version: str) -> str:
    """Return the provenance of a source file's Parquet: ``x.csv.gz etag="5f2" length=1234 contract=3f2a90c1d4``.

    Args:
        dataset: the contract.
        source_name: the file's name at the source.
        version: the file's version at the source, as ``file_version`` returns it. If it is empty, so is the result.
    """
    return f"{source_name} {version} contract={contract_id(dataset)}" if version else ""


class Footer(NamedTuple):
    """The parts of a Parquet file's footer: the number of rows, and the provenance (empty if there is none)."""

    rows: int
    provenance: str


def read_footer(file: Path | BinaryIO) -> Footer:
    """Read only the footer of a Parquet file.

    Args:
        file: the file's path, or an open, seekable file.

    Returns:
        The footer; 0 rows and no provenance if the file is damaged or not Parquet.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        metadata = pq.read_metadata(file)
    except pa.ArrowException:
        return Footer(0, "")
    except OSError as error:
        # Arrow raises plain OSError for a damaged footer; subclasses are network or system errors.
        if type(error) is not OSError or is_system_error(error):
            raise
        return Footer(0, "")
    return Footer(metadata.num_rows, (metadata.metadata or {}).get(METADATA_KEY.encode(), b"").decode())


def read_provenance(file: Path | BinaryIO) -> str | None:
    """Return the provenance in a Parquet file's footer; None if there is none. See :func:`read_footer`."""
    return read_footer(file).provenance or None
