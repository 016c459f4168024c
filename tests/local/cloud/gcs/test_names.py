"""Which names of buckets and objects are allowed."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pytest

from local.cloud.gcs.names import NameRefusedError, check_bucket, check_file, check_object, check_text
from tests.attacks.promises import attack

pytestmark = attack("names-stay-in-their-bucket")

GOOD = [
    "a",
    "green/year=2021/month=01/green_tripdata_2021-01.parquet",
    "zones/taxi_zone_lookup.csv",
    "folder/",
    "..a/b..",
    "a...b/....",
    ".hidden/.file",
    "100%",
    "a%2Fb",
    "with space & + ? # [x] 'y' \"z\"",
    "ünïcödé/東京",
    "a" * 230,
    "/".join(["a" * 100] * 10),
]
GOING_UP = [
    "..",
    "../x",
    "../../../../dags/x.py",
    "a/../../x",
    "a/..",
    "a/../",
    "./x",
    "a/./b",
    "/etc/passwd",
    "//etc/passwd",
    "a//b",
    "a//",
    "..\\x",
    "a\\..\\x",
    "C:\\x",
    "a\x00b",
    "../x\x00",
    "a\nb",
    "a\x7f",
    "a/\u2025/b",  # two dot leader: ".." in compatibility form
    "\uff0e\uff0e/x",  # full-width dots
    "\u2024\u2024/x",  # one dot leaders
    "..\uff0fx",  # full-width slash
    "..\uff3cx",  # full-width backslash
    "a\ud800",
]


@pytest.mark.parametrize("name", GOOD)
def test_ordinary_object_name_is_allowed(name: str) -> None:
    assert check_object(name) == name


@pytest.mark.parametrize("name", GOING_UP, ids=ascii)
@pytest.mark.parametrize("encodings", range(4))
def test_name_that_could_leave_is_refused_however_often_it_is_encoded(name: str, encodings: int) -> None:
    for _ in range(encodings):
        name = quote(name, safe="", errors="surrogatepass")
    with pytest.raises(NameRefusedError):
        check_object(name)


@pytest.mark.parametrize(
    "name", ["%2e%2e/x", ".%2e/x", "%2E./x", "%252e%252e%252fx", "a%5c..%5cx", "%00", "a%c0%ae%c0%ae", "%ff"]
)
def test_partly_or_wrongly_encoded_name_is_refused(name: str) -> None:
    with pytest.raises(NameRefusedError):
        check_object(name)


@pytest.mark.parametrize(
    "name", ["", "a" * 1025, "é" * 513, "a" * 231, "b/" + "é" * 116 + "/c", "%25" * 3 + "25" * 9 + "41"]
)
def test_name_that_is_empty_overlong_or_encoded_without_end_is_refused(name: str) -> None:
    with pytest.raises(NameRefusedError):
        check_object(name)


def test_message_shows_the_name_and_what_to_do() -> None:
    with pytest.raises(
        NameRefusedError, match=r"^'\.\./x' has '\.\.', a backslash or a control character.*use another"
    ):
        check_object("../x")


@pytest.mark.parametrize("name", ["abc", "nyc-taxi-lake", "a.b_c-d", "0" * 222])
def test_ordinary_bucket_name_is_allowed(name: str) -> None:
    assert check_bucket(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "..",
        "...",
        "a..b",
        "../x",
        "a/b",
        "a%2Fb",
        "%2e%2e",
        "A-B-C",
        "-abc",
        "abc-",
        "a b c",
        "abc\n",
        "a" * 223,
        "é" * 3,
    ],
    ids=ascii,
)
def test_other_bucket_name_is_refused(name: str) -> None:
    with pytest.raises(NameRefusedError, match="the bucket name"):
        check_bucket(name)


@pytest.mark.parametrize("text", ["", "list/", "a//b", "/", "items(name,size),nextPageToken", "2021-01-01T00:00:00Z"])
def test_other_parameters_may_be_anything_that_does_not_go_up(text: str) -> None:
    assert check_text(text) == text


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Links of all kinds in a bucket, below a root that is itself reached by a link, which is allowed."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("canary")
    bucket = tmp_path / "real/lake"
    (bucket / "folder").mkdir(parents=True)
    (bucket / "folder/file").write_text("x")
    (tmp_path / "real/other").mkdir()
    (bucket / "folder-link").symlink_to(tmp_path / "outside")
    (bucket / "file-link").symlink_to(tmp_path / "outside/secret")
    (bucket / "dangling").symlink_to(tmp_path / "absent")
    (bucket / "loop").symlink_to("loop")
    (bucket / "sibling").symlink_to("../other")
    (tmp_path / "real/bucket-link").symlink_to(tmp_path / "outside")
    (tmp_path / "root").symlink_to(tmp_path / "real")
    return tmp_path / "root"


@pytest.mark.parametrize("name", ["", "folder", "folder/file", "folder/absent", "new/folder/file", "new/"])
def test_file_in_the_bucket_is_found(root: Path, name: str) -> None:
    assert check_file(root, "lake", name) == Path(os.path.realpath(root), "lake", name)


@pytest.mark.parametrize(
    ("bucket", "name"),
    [
        ("lake", "folder-link/secret"),
        ("lake", "folder-link/new"),
        ("lake", "folder-link"),
        ("lake", "file-link"),
        ("lake", "dangling"),
        ("lake", "dangling/x"),
        ("lake", "sibling/x"),
        ("lake", "loop"),
        ("bucket-link", ""),
        ("bucket-link", "secret"),
    ],
)
def test_symbolic_link_is_refused(root: Path, bucket: str, name: str) -> None:
    with pytest.raises(NameRefusedError, match="lies behind a symbolic link"):
        check_file(root, bucket, name)
