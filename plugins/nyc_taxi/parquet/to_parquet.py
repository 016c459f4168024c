"""Converts a downloaded file to typed Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from nyc_taxi.common.lineage import file_dataset, reads_and_writes
from nyc_taxi.common.text import printable
from nyc_taxi.common.work_files import input_file, output_file
from nyc_taxi.parquet.convert import to_parquet
from nyc_taxi.parquet.provenance import provenance
from nyc_taxi.parquet.schema import column_types
from nyc_taxi.registry.datasets import get_dataset
from nyc_taxi.registry.model import ContractError
from nyc_taxi.registry.months import Month

if TYPE_CHECKING:
    from airflow.sdk import Context

UNKNOWN_COLUMNS = ("fail", "ignore")


class ToParquetOperator(BaseOperator):
    """Convert one published file, CSV or Parquet, to one Parquet file that matches the dataset's contract.

    The file appears whole, and its metadata has its provenance. A rerun converts again and replaces it; the same input
    gives the same bytes. An object is read and written by way of a temporary file.

    Args:
        src: path or ``gs://`` URI of the file: Parquet if its name ends in ``.parquet``, else CSV, gzipped if it ends
            in ``.gz`` (templated).
        dst: path or ``gs://`` URI of the Parquet file (templated).
        dataset: name of the dataset in the registry (templated).
        month: the month of the file, ``YYYY-MM``; empty for a dataset without months (templated).
        source_version: the file's version at the source, as its download returned it; empty if unknown (templated).
        unknown_columns: what to do if the file has columns that are not in the contract: ``fail``, or ``ignore`` to
            leave them out with a warning (templated).

    Returns:
        The number of rows.

    Raises:
        ContractError: the file does not match the contract; the message names the file, the column and the row. A
            retry would fail the same way.
        MissingFileError: the file is missing that the download has written.
        WorkDirError: the bucket does not exist, or refuses the object. A retry would fail the same way.
    """

    template_fields: Sequence[str] = ("src", "dst", "dataset", "month", "source_version", "unknown_columns")
    ui_color = "#e2f0d9"

    def __init__(
        self,
        *,
        src: str,
        dst: str,
        dataset: str,
        month: str = "",
        source_version: str = "",
        unknown_columns: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.src = src
        self.dst = dst
        self.dataset = dataset
        self.month = month
        self.source_version = source_version
        self.unknown_columns = unknown_columns

    def execute(self, context: Context) -> int:
        if self.unknown_columns not in UNKNOWN_COLUMNS:
            raise ContractError(
                f"unknown_columns is {self.unknown_columns!r}; set it to {' or '.join(UNKNOWN_COLUMNS)}"
            )
        dataset = get_dataset(self.dataset)
        with input_file(self.src) as source, output_file(self.dst) as target:
            converted = to_parquet(
                source,
                target,
                dataset=dataset,
                month=Month.parse(self.month) if self.month else None,
                provenance=provenance(dataset, source.name, self.source_version),
                accept_unknown=self.unknown_columns == "ignore",
            )
        if converted.ignored:
            self.log.warning(
                "Left out columns that are not in the contract: %s", ", ".join(map(printable, converted.ignored))
            )
        self.log.info("Converted %s rows to %s", f"{converted.rows:,}", self.dst)
        return converted.rows

    def get_openlineage_facets_on_start(self) -> Any:
        """Return what OpenLineage is told: the downloaded file, and the Parquet file with its columns."""
        columns = column_types(get_dataset(self.dataset))
        return reads_and_writes(inputs=[file_dataset(self.src)], outputs=[file_dataset(self.dst, columns)])
