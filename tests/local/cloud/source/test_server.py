"""The trip-data source: its HTTP responses, and the content of synthetic months."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest
import requests

from local.cloud.processes import ProcessError, answers
from local.cloud.settings import REPOSITORY
from local.cloud.source import check_folder
from local.cloud.source.__main__ import main

GREEN = "/green/green_tripdata_2021-01.csv.gz"
TLC_GREEN = "/trip-data/green_tripdata_2021-01.parquet"
ZONES = "/misc/taxi_zone_lookup.csv"
ROWS = 100_000

YELLOW_HEADER = (
    "VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,passenger_count,trip_distance,RatecodeID,store_and_fwd_flag,"
    "PULocationID,DOLocationID,payment_type,fare_amount,extra,mta_tax,tip_amount,tolls_amount,improvement_surcharge,"
    "total_amount,congestion_surcharge"
)
GREEN_HEADER = (
    "VendorID,lpep_pickup_datetime,lpep_dropoff_datetime,store_and_fwd_flag,RatecodeID,PULocationID,DOLocationID,"
    "passenger_count,trip_distance,fare_amount,extra,mta_tax,tip_amount,tolls_amount,ehail_fee,improvement_surcharge,"
    "total_amount,payment_type,trip_type,congestion_surcharge"
)
FHV_HEADER = (
    "dispatching_base_num,pickup_datetime,dropOff_datetime,PUlocationID,DOlocationID,SR_Flag,Affiliated_base_number"
)
FHVHV_HEADER = (
    "hvfhs_license_num,dispatching_base_num,pickup_datetime,dropoff_datetime,PULocationID,DOLocationID,SR_Flag"
)
GREEN_BLOCK = (
    *("VendorID", "store_and_fwd_flag", "RatecodeID", "passenger_count", "payment_type", "trip_type"),
    "congestion_surcharge",
)
YELLOW_BLOCK = ("VendorID", "passenger_count", "RatecodeID", "store_and_fwd_flag", "payment_type")


@dataclass(frozen=True)
class Server:
    """A running source server."""

    url: str

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.request("GET", path, **headers)

    def request(self, method: str, path: str, **headers: str) -> requests.Response:
        named = {"Accept-Encoding": "identity", **{name.replace("_", "-"): text for name, text in headers.items()}}
        return requests.request(method, self.url + path, headers=named, timeout=120)


@contextmanager
def running_server(python: Path, port: int, *arguments: object) -> Iterator[Server]:
    """Run a source server until the end of the block."""
    command = [str(python), "-m", "local.cloud.source", "--port", str(port), *map(str, arguments)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            server = Server(f"http://127.0.0.1:{port}")
            deadline = time.monotonic() + 120
            while not answers(f"{server.url}/healthz"):
                assert process.poll() is None, f"the server exited with code {process.returncode}"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.05)
            yield server
        finally:
            process.terminate()


@pytest.fixture
def serve(cloud_python: Path, free_ports) -> Iterator[Callable[..., Server]]:
    """Return a function that starts servers; they stop after the test."""
    with ExitStack() as running:
        yield lambda *arguments: running.enter_context(running_server(cloud_python, free_ports(1)[0], *arguments))


@pytest.fixture(scope="module")
def server(cloud_python: Path, free_ports, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    cache = tmp_path_factory.mktemp("cache")
    with running_server(cloud_python, free_ports(1)[0], "--synthetic", cache, "--rows", ROWS) as running:
        yield running


# -- HTTP --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        (GREEN, "application/gzip"),
        (TLC_GREEN, "application/vnd.apache.parquet"),
        (ZONES, "text/csv; charset=utf-8"),
    ],
)
def test_head_matches_get(server: Server, path: str, content_type: str) -> None:
    got, head = server.get(path), server.request("HEAD", path)
    assert (got.status_code, head.status_code) == (200, 200)
    assert int(got.headers["Content-Length"]) == len(got.content) == int(head.headers["Content-Length"])
    assert head.content == b""
    for name in ("ETag", "Last-Modified", "Accept-Ranges", "Content-Type"):
        assert got.headers[name] == head.headers[name]
    assert got.headers["ETag"].startswith('"')
    assert got.headers["Accept-Ranges"] == "bytes"
    assert got.headers["Content-Type"] == content_type
    assert "Content-Encoding" not in got.headers


@pytest.mark.parametrize("path", [GREEN, TLC_GREEN])
def test_ranges(server: Server, path: str) -> None:
    whole = server.get(path).content
    for wanted, part in (
        ("bytes=0-9", whole[:10]),
        ("bytes=1000-", whole[1000:]),
        ("bytes=-7", whole[-7:]),
        (f"bytes=10-{len(whole) * 2}", whole[10:]),
    ):
        got = server.get(path, Range=wanted)
        assert got.status_code == 206
        assert got.content == part
        assert int(got.headers["Content-Length"]) == len(part)
    assert server.get(path, Range="bytes=5-6").headers["Content-Range"] == f"bytes 5-6/{len(whole)}"
    beyond = server.get(path, Range=f"bytes={len(whole)}-")
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{len(whole)}"


@pytest.mark.parametrize("path", [GREEN, TLC_GREEN])
def test_if_range_resumes_only_an_unchanged_file(server: Server, path: str) -> None:
    head = server.request("HEAD", path).headers
    assert server.get(path, Range="bytes=5-", If_Range=head["ETag"]).status_code == 206
    assert server.get(path, Range="bytes=5-", If_Range=head["Last-Modified"]).status_code == 206
    other = server.get(path, Range="bytes=5-", If_Range='"another"')
    assert other.status_code == 200
    assert len(other.content) == int(head["Content-Length"])


def test_conditional_requests(server: Server) -> None:
    head = server.request("HEAD", GREEN).headers
    for condition in (
        {"If_None_Match": head["ETag"]},
        {"If_None_Match": f'"x", {head["ETag"]}'},
        {"If_Modified_Since": head["Last-Modified"]},
    ):
        got = server.get(GREEN, **condition)
        assert got.status_code == 304
        assert got.content == b""
        assert got.headers["ETag"] == head["ETag"]
    assert server.get(GREEN, If_None_Match='"x"').status_code == 200
    assert server.get(GREEN, If_Modified_Since="Tue, 01 Jan 2019 00:00:00 GMT").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/green",
        "/green/green_tripdata_2018-12.csv.gz",
        "/green/green_tripdata_2999-01.csv.gz",
        "/green/green_tripdata_2021-13.csv.gz",
        "/green/green_tripdata_2021-1.csv.gz",
        "/green/yellow_tripdata_2021-01.csv.gz",
        "/green/green_tripdata_2021-01.csv",
        "/green/green_tripdata_2021-01.parquet",
        "/purple/purple_tripdata_2021-01.csv.gz",
        "/green/../green/green_tripdata_2021-01.csv.gz/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/green/green_tripdata_%D9%A2%D9%A0%D9%A2%D9%A1-%D9%A0%D9%A1.csv.gz",
    ],
)
def test_missing_file_of_the_mirror_is_not_found(server: Server, path: str) -> None:
    session = requests.Session()
    request = session.prepare_request(requests.Request("GET", server.url))
    request.url = server.url + path  # set afterwards, because requests would normalize it
    got = session.send(request, timeout=120)
    assert got.status_code == 404
    assert got.headers["Content-Type"].startswith("text/plain")
    assert "This source has synthetic months of yellow, green, fhv, fhvhv from 2019-01 to 20" in got.text


@pytest.mark.parametrize(
    "path",
    [
        "/trip-data/",
        "/trip-data/yellow_tripdata_2010-12.parquet",
        "/trip-data/green_tripdata_2013-12.parquet",
        "/trip-data/fhv_tripdata_2014-12.parquet",
        "/trip-data/fhvhv_tripdata_2019-01.parquet",
        "/trip-data/green_tripdata_2999-01.parquet",
        "/trip-data/green_tripdata_2021-13.parquet",
        "/trip-data/green_tripdata_2021-01.csv.gz",
        "/trip-data/purple_tripdata_2021-01.parquet",
        "/trip-data/%2e%2e/green/green_tripdata_2021-01.csv.gz",
    ],
)
def test_missing_file_of_the_tlc_is_forbidden(server: Server, path: str) -> None:
    session = requests.Session()
    request = session.prepare_request(requests.Request("GET", server.url))
    request.url = server.url + path
    got = session.send(request, timeout=120)
    assert got.status_code == 403
    assert (
        "This source has synthetic months of yellow from 2011-01, green from 2014-01, fhv from 2015-01, fhvhv from "
        "2019-02 to 20"
    ) in got.text


def test_first_months_of_the_tlc_layout_exist(server: Server) -> None:
    for name in ("yellow_tripdata_2011-01", "green_tripdata_2014-01", "fhv_tripdata_2015-01", "fhvhv_tripdata_2019-02"):
        assert server.request("HEAD", f"/trip-data/{name}.parquet").status_code == 200


def test_newest_month_is_two_months_old(server: Server) -> None:
    mirror, tlc = {}, {}
    month_before = None
    while (this_month := months_since_year_0()) != month_before:  # again, if a month has just ended
        month_before = this_month
        for months_ago in (2, 1, 0):
            year, month = divmod(this_month - months_ago, 12)
            name = f"fhvhv_tripdata_{year}-{month + 1:02}"
            mirror[months_ago] = server.request("HEAD", f"/fhvhv/{name}.csv.gz").status_code
            tlc[months_ago] = server.request("HEAD", f"/trip-data/{name}.parquet").status_code
    assert mirror == {2: 200, 1: 404, 0: 404}
    assert tlc == {2: 200, 1: 403, 0: 403}


def months_since_year_0() -> int:
    """The present month, in UTC: what is published does not depend on where the server is."""
    today = datetime.now(UTC)
    return today.year * 12 + today.month - 1


def test_methods_that_write_are_refused(server: Server) -> None:
    assert server.request("POST", GREEN).status_code == 405
    assert server.request("DELETE", GREEN).status_code == 405


def test_concurrent_first_requests_generate_a_month_once(serve, tmp_path: Path) -> None:
    fresh = serve("--synthetic", tmp_path, "--rows", 50_000)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: fresh.get(GREEN), range(8)))
    assert {one.status_code for one in answers} == {200}
    assert len({(one.headers["ETag"], hashlib.sha256(one.content).hexdigest()) for one in answers}) == 1
    assert [path.name for path in tmp_path.rglob("*.gz*")] == ["green_tripdata_2021-01.csv.gz"]


@pytest.mark.full  # test_tlc.test_files_are_reproducible covers the files
def test_second_server_serves_the_same_bytes_with_the_same_tag(serve, server: Server, tmp_path: Path) -> None:
    second = serve("--synthetic", tmp_path, "--rows", ROWS)
    for path in (GREEN, TLC_GREEN, ZONES):
        one, other = server.get(path), second.get(path)
        assert one.content == other.content
        for name in ("ETag", "Last-Modified"):
            assert one.headers[name] == other.headers[name]
    fewer = serve("--synthetic", tmp_path, "--rows", 500)
    assert fewer.get(GREEN).headers["ETag"] != server.get(GREEN).headers["ETag"]


def test_folder_serves_only_files_of_the_layouts(serve, tmp_path: Path) -> None:
    root = tmp_path / "served"
    (root / "green").mkdir(parents=True)
    (root / "misc").mkdir()
    (root / "green/green_tripdata_2017-01.csv.gz").write_bytes(b"anything")
    (root / "green/notes.txt").write_text("private")
    (root / "trip-data").mkdir()
    (root / "trip-data/fhv_tripdata_2009-01.parquet").write_bytes(b"something")
    (root / "trip-data/notes.txt").write_text("private")
    (root / "misc/taxi_zone_lookup.csv").write_text("zones")
    (tmp_path / "secret").write_text("secret")
    folder = serve("--folder", root)
    assert folder.get("/green/green_tripdata_2017-01.csv.gz").content == b"anything"
    assert folder.get("/trip-data/fhv_tripdata_2009-01.parquet").content == b"something"
    for path in ("/trip-data/notes.txt", "/trip-data/fhv_tripdata_2009-02.parquet", TLC_GREEN):
        assert folder.get(path).status_code == 403, path
    assert folder.get(ZONES).text == "zones"
    for path in ("/green/notes.txt", "/green/green_tripdata_2017-02.csv.gz", "/%2e%2e/secret", "/green", GREEN):
        assert folder.get(path).status_code == 404, path
    before = folder.get(ZONES).headers["ETag"]
    (root / "misc/taxi_zone_lookup.csv").write_text("other")
    assert folder.get(ZONES).headers["ETag"] != before


@pytest.mark.parametrize("name", ["fhv/fhv_tripdata_2021-01.csv.gz", "trip-data/fhv_tripdata_2021-01.parquet"])
def test_folder_is_accepted_in_either_layout(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).touch()
    assert check_folder(tmp_path) == tmp_path


@pytest.mark.parametrize(
    "name",
    ["fhv/fhv_tripdata_2021-01.parquet", "trip-data/fhv_tripdata_2021-01.csv.gz", "fhv/x_tripdata_2021-01.csv.gz"],
)
def test_folder_in_no_layout_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).touch()
    expected = (
        "put <dataset>/<dataset>_tripdata_<YYYY-MM>.csv.gz or trip-data/<dataset>_tripdata_<YYYY-MM>.parquet into it"
        ", for example green/green_tripdata_2021-01.csv.gz or trip-data/green_tripdata_2021-01.parquet"
    )
    with pytest.raises(ProcessError) as error:
        check_folder(tmp_path)
    assert str(error.value) == f"SOURCE={tmp_path} has no trip data: {expected}"


# -- the files ---------------------------------------------------------------------------------------------------------


def text_of(server: Server, dataset: str, month: str) -> bytes:
    return gzip.decompress(server.get(f"/{dataset}/{dataset}_tripdata_{month}.csv.gz").content)


def table_of(content: bytes) -> pa.Table:
    options = pa.csv.ConvertOptions(strings_can_be_null=True, null_values=[""])
    return pa.csv.read_csv(io.BytesIO(content), convert_options=options)


def null_share(table: pa.Table, column: str) -> float:
    return table[column].null_count / len(table)


def outside(table: pa.Table, column: str, month: str) -> list[str]:
    texts = pc.strftime(table[column], format="%Y-%m").to_pylist()
    return [text for text in texts if text != month]


def repeated_rows(content: bytes) -> int:
    lines = content.splitlines()[1:]
    return len(lines) - len(set(lines))


@pytest.mark.parametrize(
    ("dataset", "header"),
    [("yellow", YELLOW_HEADER), ("green", GREEN_HEADER), ("fhv", FHV_HEADER), ("fhvhv", FHVHV_HEADER)],
)
def test_header_and_line_format(server: Server, dataset: str, header: str) -> None:
    content = text_of(server, dataset, "2020-07")
    lines = content.split(b"\n")
    assert lines[0].decode() == header
    assert lines[-1] == b""
    assert len(lines) == ROWS + 2
    assert b"\r" not in content
    assert b'"' not in content
    assert {line.count(b",") for line in lines[:-1]} == {header.count(",")}


def test_archive_is_one_gzip_member_without_timestamp(server: Server) -> None:
    content = server.get(GREEN).content
    assert content[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    stream = pa.CompressedInputStream(pa.BufferReader(content), "gzip")
    assert stream.read() == gzip.decompress(content)


def test_amounts_have_one_or_two_decimals(server: Server) -> None:
    rows = [line.split(b",") for line in text_of(server, "green", "2021-01").splitlines()]
    amounts = [rows[0].index(name) for name in (b"trip_distance", b"fare_amount", b"tip_amount", b"total_amount")]
    decimals = {len(row[place].split(b".")[1]) for row in rows[1:] for place in amounts}
    assert decimals == {1, 2}


def test_green_has_a_tail_block_of_nulls(server: Server) -> None:
    table = table_of(text_of(server, "green", "2021-01"))
    assert table["ehail_fee"].null_count == ROWS
    for column in GREEN_BLOCK:
        assert table[column].null_count == ROWS * 46 // 100
        assert table[column].slice(ROWS * 54 // 100).null_count == ROWS * 46 // 100
    others = [name for name in table.column_names if name not in (*GREEN_BLOCK, "ehail_fee")]
    assert sum(table[name].null_count for name in others) == 0


def test_yellow_nulls_follow_the_calendar(server: Server) -> None:
    january, february, april = (
        table_of(text_of(server, "yellow", month)) for month in ("2019-01", "2019-02", "2020-04")
    )
    assert 0.62 < null_share(january, "congestion_surcharge") < 0.645
    assert {0.0, None} == set(january["congestion_surcharge"].unique().to_pylist())
    assert null_share(february, "congestion_surcharge") == 0
    assert set(february["congestion_surcharge"].unique().to_pylist()) == {2.5, 0.0, -2.5}
    for table in (january, february):
        assert sum(table[column].null_count for column in YELLOW_BLOCK) == 0
    for column in YELLOW_BLOCK:
        assert april[column].null_count == ROWS * 75 // 1000
    assert april["congestion_surcharge"].null_count == 0


@pytest.mark.parametrize("dataset", ["yellow", "green", "fhv", "fhvhv"])
@pytest.mark.parametrize("month", ["2019-03", "2021-02"])
def test_three_pickups_are_outside_the_month(server: Server, dataset: str, month: str) -> None:
    content = text_of(server, dataset, month).replace(b"\xa0", b"")
    table = table_of(content)
    pickup = next(name for name in table.column_names if "pickup" in name)
    strays = sorted(outside(table, pickup, month))
    assert len(strays) == 3
    assert strays[0] in ("2008-12", "2009-01")
    assert strays[1] < month < strays[2]


def test_there_are_duplicate_rows(server: Server) -> None:
    for dataset in ("yellow", "green"):
        assert 3 <= repeated_rows(text_of(server, dataset, "2021-01")) <= 30


def test_refunds_have_their_own_vendor_and_payment_types(server: Server) -> None:
    for dataset in ("yellow", "green"):
        table = table_of(text_of(server, dataset, "2021-01"))
        metered = table.filter(pc.is_valid(table["VendorID"]))
        refunds = metered.filter(pc.less(metered["fare_amount"], 0))
        assert 0.0005 < len(refunds) / len(metered) < 0.01
        assert set(refunds["payment_type"].unique().to_pylist()) <= {3, 4}
        assert set(refunds["VendorID"].unique().to_pylist()) == {2}
        assert pc.max(refunds["total_amount"]).as_py() < 0


def test_values_are_plausible(server: Server) -> None:
    table = table_of(text_of(server, "yellow", "2019-02"))
    for column in ("PULocationID", "DOLocationID"):
        assert set(table[column].unique().to_pylist()) == set(range(1, 266))
    assert set(table["VendorID"].unique().to_pylist()) == {1, 2, 4}
    assert set(table["store_and_fwd_flag"].unique().to_pylist()) == {"N", "Y"}
    assert set(table["RatecodeID"].unique().to_pylist()) == {1, 2, 3, 4, 5, 6, 99}
    assert 1.3 < pc.quantile(table["trip_distance"], q=0.5)[0].as_py() < 1.9
    assert 8 <= pc.quantile(table["fare_amount"], q=0.5)[0].as_py() <= 10


def test_totals_add_up(server: Server) -> None:
    """The first vendor's rows are the exception: they add the congestion surcharge to ``extra`` too."""
    for dataset, month in (("yellow", "2019-02"), ("green", "2021-01"), ("yellow", "2020-07")):
        table = table_of(text_of(server, dataset, month))
        parts = ("extra", "mta_tax", "tip_amount", "tolls_amount", "improvement_surcharge", "congestion_surcharge")
        total = table["fare_amount"]
        for name in parts:
            total = pc.add(total, pc.fill_null(table[name].cast(pa.float64()), 0.0))
        off = pc.round(pc.subtract(total, table["total_amount"]), ndigits=2)
        adds_up = pc.equal(off, 0)
        first_vendor = pc.fill_null(pc.equal(table["VendorID"], 1), False)
        assert pc.all(pc.or_(adds_up, first_vendor)).as_py()
        assert set(pc.unique(off.filter(first_vendor)).to_pylist()) == {0.0, 2.5 if dataset == "yellow" else 2.75}


def test_for_hire_vehicles_have_their_own_defects(server: Server) -> None:
    content = text_of(server, "fhv", "2021-01")
    assert content.count(b"\xa0\n") == 1
    with pytest.raises(UnicodeDecodeError):
        content.decode()
    table = table_of(content.decode("latin-1").encode())
    years = pc.year(table["dropOff_datetime"])
    assert pc.sum(pc.equal(years, 3019)).as_py() == 1
    assert table["SR_Flag"].null_count == ROWS
    assert 0.78 < null_share(table, "PUlocationID") < 0.84
    assert any(base.endswith(" ") for base in table["dispatching_base_num"].unique().to_pylist())


def test_zone_lookup(server: Server) -> None:
    content = server.get(ZONES).content
    lines = content.split(b"\r\n")
    assert lines[0] == b'"LocationID","Borough","Zone","service_zone"'
    assert lines[-2:] == [b"", b""]
    assert b"\n" not in content.replace(b"\r\n", b"")
    table = table_of(content)
    assert table["LocationID"].to_pylist() == list(range(1, 266))
    assert len(set(table["Zone"].to_pylist())) == 265
    assert table.to_pylist()[263] == {"LocationID": 264, "Borough": "Unknown", "Zone": "N/A", "service_zone": "N/A"}
    assert table["Zone"].to_pylist()[264] == "Outside of NYC"
    assert set(table["service_zone"].to_pylist()) == {"EWR", "Boro Zone", "Yellow Zone", "Airports", "N/A"}


@pytest.mark.parametrize("rows", [1, 29, 30, 31, 12_345])
def test_any_number_of_rows(tmp_path: Path, rows: int) -> None:
    main(["generate", "yellow", "2021-01", str(tmp_path / "out.csv.gz"), "--rows", str(rows)])
    content = gzip.decompress((tmp_path / "out.csv.gz").read_bytes())
    assert content.count(b"\n") == rows + 1
    strays = outside(table_of(content), "tpep_pickup_datetime", "2021-01")
    assert len(strays) == (3 if rows >= 30 else 0)


def test_command_generates_a_month(cloud_python: Path, tmp_path: Path) -> None:
    command = [cloud_python, "-m", "local.cloud.source", "generate", "yellow", "2021-01", tmp_path / "out.csv"]
    subprocess.run([*command, "--rows", "5"], cwd=REPOSITORY, check=True)
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == YELLOW_HEADER
