"""What a copy tells of itself; the rows that arrive are counted by the tests with a real database."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast
from unittest import mock

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from nyc_taxi.stores.postgres import copy


def test_the_log_tells_how_far_the_copy_is_and_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nyc_taxi.common.progress.INTERVAL", 0.0)
    monkeypatch.setattr(copy, "BATCH_ROWS", 10)
    caplog.set_level(logging.INFO)
    pq.write_table(pa.table({"a": list(range(20))}), tmp_path / "x.parquet")
    connection = mock.MagicMock()

    copy.copy_parquet(cast("psycopg.Connection", connection), tmp_path / "x.parquet", sql.Identifier("staging", "x"))

    lines = [line.split(", ")[:3:2] for line in caplog.messages if ' of copy to "staging"."x": ' in line]
    assert lines == [
        ['Progress of copy to "staging"."x": 10 rows', "50%"],
        ['End of copy to "staging"."x": 20 rows', "100%"],
    ]
