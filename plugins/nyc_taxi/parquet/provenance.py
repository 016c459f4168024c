"""What a Parquet file was made from: it carries one line about it, by which unchanged months are skipped."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

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


def read_provenance(file: Path | BinaryIO) -> str | None:
    """Read the line from a Parquet file, of which only the footer is read; None if there is none.

    A file that is no Parquet file, or a damaged one, has none either. Other errors of reading are raised.
    """
    try:
        metadata = pq.read_metadata(file).metadata or {}
    except pa.ArrowException:
        return None
    except OSError as error:
        # Arrow's own word for a damaged footer, which is of no narrower kind: those are the network's or the system's.
        if type(error) is not OSError or is_the_systems(error):
            raise
        return None
    line = metadata.get(METADATA_KEY.encode())
    return line.decode() if line else None
