"""Converts a downloaded CSV file to typed Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from nyc_taxi.convert import csv_to_parquet
from nyc_taxi.datasets import get_dataset
from nyc_taxi.months import Month

if TYPE_CHECKING:
    from airflow.sdk import Context


class CsvToParquetOperator(BaseOperator):
    """Convert one published CSV file to one Parquet file that follows the dataset's contract.

    The Parquet file is there whole or not at all. A rerun converts again and replaces it; the same input gives the
    same rows.

    Args:
        src: path of the CSV file, gzipped if its name ends in ``.gz`` (templated).
        dst: path of the Parquet file (templated).
        dataset: name of the dataset in the registry (templated).
        month: the month whose file this is, ``YYYY-MM``; empty for a dataset without months (templated).

    Returns:
        The number of rows.

    Raises:
        ContractError: the file does not follow the contract; the message names file, column and row. Not worth a
            retry.
    """

    template_fields: Sequence[str] = ("src", "dst", "dataset", "month")
    ui_color = "#e2f0d9"

    def __init__(self, *, src: str, dst: str, dataset: str, month: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.src = src
        self.dst = dst
        self.dataset = dataset
        self.month = month

    def execute(self, context: Context) -> int:
        rows = csv_to_parquet(
            Path(self.src),
            Path(self.dst),
            dataset=get_dataset(self.dataset),
            month=Month.parse(self.month) if self.month else None,
        )
        self.log.info("Converted %s rows to %s", f"{rows:,}", self.dst)
        return rows
