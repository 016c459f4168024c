"""The names in what clients send, as the front reads them."""

from __future__ import annotations

import json

import pytest

from local.cloud.gcs.metadata import BodyRefusedError, check_json, join_metadata, read_boundary, split_metadata
from local.cloud.gcs.names import NameRefusedError
from tests.attacks.promises import attack

pytestmark = attack("names-stay-in-their-bucket")


def test_all_objects_of_a_resource_are_found() -> None:
    compose = {
        "sourceObjects": [{"name": "a"}, {"name": "b/c"}],
        "destination": {"bucket": "other", "name": "d", "metadata": {"name": "../free text"}},
    }
    body, objects = check_json(json.dumps(compose).encode(), bucket="lake")
    assert json.loads(body) == compose
    assert objects == [("lake", "a"), ("lake", "b/c"), ("other", "d")]


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "../x"}',
        '{"Name": "../x"}',
        '{"NAME": "/etc/x"}',
        '{"name": "%2e%2e/x"}',
        '{"name": "\\u002e./x"}',
        '{"name": "a\\u0000"}',
        '{"name": "a\\\\..\\\\b"}',
        '{"name": "\\ud800"}',
        '{"bucket": "..", "name": "x"}',
        '{"bucKet": "../x", "name": "x"}',
        '{"buc\\u212aet": "../x", "name": "x"}',
        '{"destination": {"name": "../x"}}',
        '{"sourceObjects": [{"name": "a"}, {"name": "../x"}]}',
        '{"a": {"b": [[{"name": "../x"}]]}}',
    ],
)
def test_name_that_could_leave_is_refused_wherever_it_is(text: str) -> None:
    with pytest.raises(NameRefusedError):
        check_json(text.encode(), bucket="lake")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"../x"',
        b"{",
        b'{"name": "a"} {"name": "../x"}',
        b'{"name": "a", "name": "../x"}',
        b'{"name": "a", "NAME": "../x"}',
        b'{"name": 1}',
        b'{"name": ["../x"]}',
        b'{"name": {"name": "x"}}',
        b'{"bucket": 1, "name": "x"}',
        b'{"size": NaN}',
        b'{"name": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: ascii(body[:30]),
)
def test_what_may_be_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(BodyRefusedError):
        check_json(body, bucket="lake")


@pytest.mark.parametrize("body", [b'{"name": "../x"}', b'{"name": ""}', b'{"name": "A"}', b'{"name": "a/b"}'])
def test_name_of_a_bucket_is_checked_as_one(body: bytes) -> None:
    with pytest.raises(NameRefusedError):
        check_json(body, bucket="", names_a_bucket=True)
    assert check_json(b'{"name": "new-lake"}', bucket="", names_a_bucket=True) == (b'{"name": "new-lake"}', [])
    with pytest.raises(BodyRefusedError):
        check_json(b'{"NAME": "../x"}', bucket="", names_a_bucket=True)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/related; boundary="===============123=="', "===============123=="),
        ("multipart/related; boundary='=='", "=="),
        ("Multipart/Related;boundary=abc", "abc"),
    ],
)
def test_boundary_is_read(content_type: str, boundary: str) -> None:
    assert read_boundary(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "multipart/related",
        "multipart/related; boundary=",
        "multipart/related; boundary=a; boundary=b",
        'multipart/related; boundary="a\\"b"',
        'multipart/related; boundary="a\r\nb"',
        "multipart/related; boundary*=utf-8''a",
        "multipart/form-data; boundary=a",
        f"multipart/related; boundary={'a' * 71}",
    ],
)
def test_unusual_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(BodyRefusedError, match="with a plain boundary"):
        read_boundary(content_type)


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("before", [b"", b"\r\n"])
def test_metadata_is_taken_from_the_first_part_and_put_back(before: bytes, newline: bytes) -> None:
    rest = b"\r\n--b\r\ncontent-type: text/plain\r\n\r\ncontent\r\n--b--\r\n"
    whole = before + b'--b\r\nContent-Type: application/json\r\n\r\n{"name": "x"}' + rest
    rest, whole = rest.replace(b"\r\n", newline), whole.replace(b"\r\n", newline)
    for length in range(whole.index(rest) + len(newline + b"--b")):
        assert split_metadata(whole[:length], "b") is None
    found = split_metadata(whole, "b")
    assert found is not None
    assert (found[0], whole[found[1] :], found[2]) == (b'{"name": "x"}', rest, newline)
    joined = join_metadata(b"{}", "b", newline)
    assert split_metadata(joined + rest, "b") == (b"{}", len(joined), newline)


@pytest.mark.parametrize(
    "body", [b"--c\r\n\r\n{}", b"preamble\r\n--b\r\n\r\n{}\r\n--b", b"--b\r\r\n{}", b"--bc\r\n\r\n"]
)
def test_body_that_does_not_begin_with_its_boundary_is_refused(body: bytes) -> None:
    with pytest.raises(BodyRefusedError, match="does not begin with its boundary"):
        split_metadata(body, "b")
