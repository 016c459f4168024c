"""What a Parquet file was made from: it carries one line about it, by which unchanged months are skipped."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from nyc_taxi.parquet.batches import is_the_systems
from nyc_taxi.registry.model import Dataset

METADATA_KEY = "nyc_taxi.provenance"
# To be raised when the conversion of the same file by the same columns gives other rows than before.
CONVERSION = 2


def contract_id(dataset: Dataset) -> str:
    """A short name of what the dataset's files are converted to; it changes with the columns and the conversion."""
    columns = [(column.name, column.type.value) for column in dataset.columns]
    return hashlib.sha256(repr((CONVERSION, columns)).encode()).hexdigest()[:10]


def provenance(dataset: Dataset, source_name: str, version: str) -> str:
    """One line that says what is made from a file: ``x.csv.gz etag="5f2" length=1234 contract=3f2a90c1d4``.

    Args:
        dataset: the contract.
        source_name: the file's name at the source.
        version: the file's version at the source, as its download tells it. If it is empty, nothing is known: so is
            the result.
    """
    return f"{source_name} {version} contract={contract_id(dataset)}" if version else ""


class Footer(NamedTuple):
    """What the footer of a Parquet file states: its number of rows, and its provenance (empty if there is none)."""

    rows: int
    provenance: str


def read_footer(file: Path | BinaryIO) -> Footer:
    """Read the footer of a Parquet file, and nothing else of it.

    Args:
        file: the file, or an open one that can seek.

    Returns:
        What the footer states. A file that is not Parquet, or that is damaged, has no rows and no provenance.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        metadata = pq.read_metadata(file)
    except pa.ArrowException:
        return Footer(0, "")
    except OSError as error:
        # Arrow raises plain OSError for a damaged footer; subclasses are network or system errors.
        if type(error) is not OSError or is_the_systems(error):
            raise
        return Footer(0, "")
    return Footer(metadata.num_rows, (metadata.metadata or {}).get(METADATA_KEY.encode(), b"").decode())


def read_provenance(file: Path | BinaryIO) -> str | None:
    """Return the provenance in the footer of a Parquet file; None if there is none. See :func:`read_footer`."""
    return read_footer(file).provenance or None
