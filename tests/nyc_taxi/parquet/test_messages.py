"""Messages of the conversion: no file can write to the terminal that shows them, and a full disk is named."""

from __future__ import annotations

import errno
import gzip
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pytest

from nyc_taxi.common.files import DiskFullError
from nyc_taxi.parquet.to_parquet import ToParquetOperator
from tests.attacks.promises import attack
from tests.nyc_taxi.support import GREEN_ROW, Folder, green_table, refused

pytestmark = attack("files-are-data")

ESC = "\x1b[2J"
HEADER = ",".join(GREEN_ROW)


def _csv(text: str) -> Callable[[Folder], object]:
    return lambda folder: folder.green_bytes(gzip.compress(text.encode()))


def _struct(folder: Folder) -> object:
    values = pa.array([{ESC: 1}], pa.struct([pa.field(ESC, pa.int64())]))
    return folder.parquet(green_table(1, fare_amount=values))


@pytest.mark.parametrize(
    "convert",
    [
        lambda folder: folder.green({"fare_amount": ESC}),
        lambda folder: folder.green({"lpep_pickup_datetime": ESC}),
        lambda folder: folder.green({"VendorID": ESC}),
        _csv(f"{HEADER}\n1,{ESC}\n"),
        _csv(f"{HEADER},{ESC}\n"),
        lambda folder: folder.parquet(green_table(1).append_column(ESC, pa.array([1]))),
        lambda folder: folder.parquet(green_table(1, lpep_pickup_datetime=pa.array([ESC]))),
        _struct,
        lambda folder: folder.parquet_bytes(ESC.encode() * 9),
    ],
    ids=[
        "amount", "time", "integer", "row", "column", "Parquet column", "Parquet time", "Parquet type", "no Parquet",
    ],
)  # fmt: skip
def test_no_file_can_write_to_the_terminal(folder: Folder, convert: Callable[[Folder], object]) -> None:
    with refused(folder) as error:
        convert(folder)
    assert r"\x1b[2J" in str(error.value)
    # A log shows the errors behind an error, too.
    shown = "".join(traceback.format_exception(error.value))
    assert "\x1b" not in shown
    assert len(str(error.value).splitlines()) == 1


def test_the_advice_after_many_long_names_is_kept(folder: Folder) -> None:
    names = ",".join(f"{number:02}{'x' * 70}" for number in range(40))
    with refused(folder) as error:
        folder.green_bytes(gzip.compress(f"{HEADER},{names}\n".encode()))
    assert str(error.value).endswith("set the variable unknown_columns to ignore to leave them out")


def test_no_name_of_a_column_that_is_left_out_can_write_to_the_terminal(tmp_path: Path) -> None:
    source = tmp_path / "green_tripdata_2021-01.csv.gz"
    source.write_bytes(gzip.compress(f"{HEADER},{ESC}\n{','.join(GREEN_ROW.values())},1\n".encode()))
    operator = ToParquetOperator(
        task_id="x",
        src=str(source),
        dst=str(tmp_path / "out"),
        dataset="green",
        month="2021-01",
        unknown_columns="ignore",
    )
    with mock.patch.object(ToParquetOperator, "log") as log:
        operator.execute({})
    assert mock.call("Left out columns that are not in the contract: %s", r"\x1b[2J") in log.warning.mock_calls


def test_a_full_disk_names_the_file_and_leaves_nothing(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.target.parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=7))
    # Writing to this device fails as on a full disk.
    folder.target.with_name(f".{folder.target.name}.{uuid.UUID(int=7).hex}.part").symlink_to("/dev/full")
    with pytest.raises(DiskFullError, match=f"cannot write {folder.target}: its disk is full; .* are free in") as error:
        folder.green({})
    assert error.value.errno == errno.ENOSPC
    assert folder.left() == []
