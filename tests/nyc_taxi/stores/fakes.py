"""A fake store that keeps its months in a dictionary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Self

from nyc_taxi.registry.model import Dataset, PublishedFile
from nyc_taxi.registry.months import Month
from nyc_taxi.stores.store import NOTHING, Content, Store, StoredMonth


class FakeStore(Store):
    """Fake store whose months a test puts into ``kept``, keyed by the name of the lake object.

    ``confirmed`` has the times that it was told, and ``still_has`` what it answers.
    """

    name: ClassVar[str] = "fake"
    asset: ClassVar[str] = "fake"
    step: ClassVar[str] = "web_to_fake"
    kept: ClassVar[dict[str, StoredMonth]]
    confirmed: ClassVar[list[datetime]] = []
    still_has: ClassVar[bool] = True

    @classmethod
    def connect(cls) -> Self:
        return cls()

    def months(self, dataset: Dataset) -> Mapping[Month | None, StoredMonth]:
        found = {}
        for name, stored in self.kept.items():
            if name.startswith(f"{dataset.name}/"):
                parts = re.search(r"year=(\d{4})/month=(\d{2})/", name)
                found[Month(int(parts[1]), int(parts[2])) if parts else None] = stored
        return found

    def find(self, file: PublishedFile) -> StoredMonth | None:
        return self.kept.get(file.lake_object)

    def confirm(self, file: PublishedFile, stored: StoredMonth, seen_at: datetime) -> bool:
        assert stored is self.kept[file.lake_object]
        self.confirmed.append(seen_at)
        return self.still_has

    def count(self, file: PublishedFile) -> int:
        return stored.rows if (stored := self.find(file)) else 0

    def content(self, file: PublishedFile) -> Content:
        return NOTHING

    def location(self, file: PublishedFile) -> str:
        return f"{self.name}:{file.lake_object}"
