"""The two layouts in which trip data are published: where a month's file lies below the root of the source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from local.cloud.source.months import Month


@dataclass(frozen=True)
class Layout:
    """One layout.

    Attributes:
        path: where a file lies; ``{dataset}`` and ``{month}`` stand for themselves.
        first_months: the first synthetic month of each dataset.
        missing: the HTTP status that answers for a file that is not there.
    """

    path: str
    first_months: Mapping[str, Month]
    missing: int

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    def file(self, dataset: object, month: object) -> str:
        """The path of one file, or with ``*`` a pattern of paths."""
        return self.path.format(dataset=dataset, month=month)

    def parse(self, path: str) -> tuple[str, Month] | None:
        """The dataset and month whose file ``path`` is; None if it is none of this layout."""
        # The month stands at the end, and a dataset's name has no "_".
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
"""That of the DataTalksClub release mirror."""

TLC = Layout(
    path="trip-data/{dataset}_tripdata_{month}.parquet",
    # Before 2011, the TLC's yellow files have coordinates instead of zones.
    first_months={
        **{"yellow": Month(2011, 1), "green": Month(2014, 1), "fhv": Month(2015, 1), "fhvhv": Month(2019, 2)}
    },
    missing=403,  # its server says "forbidden" of what it does not have
)
"""That of the TLC's own server."""

LAYOUTS = (MIRROR, TLC)
