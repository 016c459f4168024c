"""The two layouts of published trip data: the path of a month's file below the root of the source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from local.cloud.source.months import Month


@dataclass(frozen=True)
class Layout:
    """One layout.

    Attributes:
        path: path of a file, with ``{dataset}`` and ``{month}``.
        first_months: the first synthetic month of each dataset.
        missing: HTTP status for a missing file.
    """

    path: str
    first_months: Mapping[str, Month]
    missing: int

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    def file(self, dataset: object, month: object) -> str:
        """Return the path of a file or, with ``*`` as an argument, a glob pattern."""
        return self.path.format(dataset=dataset, month=month)

    def parse(self, path: str) -> tuple[str, Month] | None:
        """Return dataset and month of the file ``path``; None if it does not belong to this layout."""
        # The name of a dataset has no "_".
        match = re.search(r"([a-z]+)_tripdata_(\d{4}-\d{2})\.", path, re.ASCII)
        if match is None or self.file(match[1], match[2]) != path:
            return None
        try:
            return match[1], Month.parse(match[2])
        except ValueError:
            return None


MIRROR = Layout(
    path="{dataset}/{dataset}_tripdata_{month}.csv.gz",
    first_months=dict.fromkeys(("yellow", "green", "fhv", "fhvhv"), Month(2019, 1)),
    missing=404,
)
"""Layout of the DataTalksClub release mirror."""

TLC = Layout(
    path="trip-data/{dataset}_tripdata_{month}.parquet",
    # Before 2011, the TLC's yellow files have coordinates instead of zones.
    first_months={
        **{"yellow": Month(2011, 1), "green": Month(2014, 1), "fhv": Month(2015, 1), "fhvhv": Month(2019, 2)}
    },
    missing=403,  # the TLC's server answers "forbidden" for missing files
)
"""Layout of the TLC's server."""

LAYOUTS = (MIRROR, TLC)
