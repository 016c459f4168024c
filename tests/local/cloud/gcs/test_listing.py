"""Lists of objects: filters, directory-like results and pages, against what Cloud Storage documents."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from local.cloud.gcs.errors import RefusedError
from local.cloud.gcs.listing import glob_pattern, select

DOCUMENTED = ["a/b", "a/c", "d", "e", "e/f", "e/g/h"]
"""The example of the documentation of ``objects.list``."""
FILES = ["p/a.csv", "p/b.csv", "p/q/c.csv", "p/x.parquet", "z"]


def listed(names: list[str], **query: str) -> tuple[list[str], list[str]]:
    """Return the names and the prefixes of all pages, after checking that each page keeps to ``maxResults``."""
    items: list[str] = []
    prefixes: list[str] = []
    token = ""
    while True:
        given = query | ({"pageToken": token} if token else {})
        page = select("storage#objects", [{"name": name} for name in reversed(names)], given)
        found: list[Any] = [*page.get("items", []), *page.get("prefixes", [])]
        assert len(found) <= int(query.get("maxResults", 1000))
        items += [item["name"] for item in page.get("items", [])]
        prefixes += page.get("prefixes", [])
        if "nextPageToken" not in page:
            return items, prefixes
        assert found
        token = page["nextPageToken"]


@pytest.mark.parametrize("size", ["1", "2", "3", "1000"])
@pytest.mark.parametrize(
    ("names", "query", "items", "prefixes"),
    [
        (DOCUMENTED, {"delimiter": "/"}, ["d", "e"], ["a/", "e/"]),
        (DOCUMENTED, {"delimiter": "/", "prefix": "e/"}, ["e/f"], ["e/g/"]),
        (DOCUMENTED, {"prefix": "e"}, ["e", "e/f", "e/g/h"], []),
        (FILES, {"delimiter": ".csv"}, ["p/x.parquet", "z"], ["p/a.csv", "p/b.csv", "p/q/c.csv"]),
        (
            FILES,
            {"delimiter": ".csv", "includeTrailingDelimiter": "true"},
            FILES,
            ["p/a.csv", "p/b.csv", "p/q/c.csv"],
        ),
        (FILES, {"delimiter": "p/", "includeTrailingDelimiter": "TRUE"}, ["z"], ["p/"]),
        (FILES, {"startOffset": "p/b.csv", "endOffset": "p/x.parquet"}, ["p/b.csv", "p/q/c.csv"], []),
        (FILES, {"startOffset": "p/b.csv", "delimiter": "/"}, ["z"], ["p/"]),
        (FILES, {"matchGlob": "p/*.csv"}, ["p/a.csv", "p/b.csv"], []),
        (FILES, {"matchGlob": "**.csv"}, ["p/a.csv", "p/b.csv", "p/q/c.csv"], []),
        (FILES, {"matchGlob": "*"}, ["z"], []),
        (FILES, {"matchGlob": "p/*/", "delimiter": "/", "prefix": "p/"}, [], ["p/q/"]),
        (FILES, {"matchGlob": "p/{a,x}.*", "delimiter": "/", "prefix": "p/"}, ["p/a.csv", "p/x.parquet"], []),
        (FILES, {"versions": "true"}, FILES, []),
        (["é/a", "z", "é", "\U0001f600", "\uffff"], {}, ["z", "é", "é/a", "\uffff", "\U0001f600"], []),
        ([], {"delimiter": "/"}, [], []),
    ],
)
def test_list_has_what_the_parameters_ask_for(
    names: list[str], query: dict[str, str], items: list[str], prefixes: list[str], size: str
) -> None:
    assert listed(names, **query, maxResults=size) == (items, prefixes)
    assert items == sorted(items, key=str.encode)


def test_page_has_at_most_a_thousand_results() -> None:
    names = [f"{number:05}" for number in range(2500)]
    for asked in ({}, {"maxResults": "0"}, {"maxResults": "1000000"}):
        assert len(select("storage#objects", [{"name": name} for name in names], asked)["items"]) == 1000
    assert listed(names) == (names, [])


@pytest.mark.parametrize(
    ("glob", "matched", "others"),
    [
        ("foo*bar", ["foobar", "fooxbar"], ["foo/bar", "xfoobar", "foobarx"]),
        ("foo**bar", ["foobar", "foo/x/bar"], ["foo/barx"]),
        ("**/foo*/bar", ["foo/bar", "a/b/foo1/bar"], ["xfoo/bar", "foo/x/bar"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb"]),
        ("f?o", ["foo"], ["f/o", "fo", "fooo"]),
        ("[a-c]x[12]", ["ax1", "cx2"], ["dx1", "ax3"]),
        ("{a,bc}.csv", ["a.csv", "bc.csv"], ["b.csv", "{a,bc}.csv"]),
        ("a.b+c$", ["a.b+c$"], ["aXb+c$"]),
        ("line\nbreak*", ["line\nbreak\n"], []),
    ],
)
def test_glob_matches_as_documented(glob: str, matched: list[str], others: list[str]) -> None:
    pattern = glob_pattern(glob)
    assert [name for name in [*matched, *others] if pattern.fullmatch(name)] == matched


@pytest.mark.parametrize(
    "query",
    [
        *({"matchGlob": glob} for glob in ("[!a]", "[^a]", "{a,{b,c}}", "[a", "{a", "a]", "\\*", "[z-a]", "{a*,b}")),
        {"matchGlob": "*", "delimiter": ".csv"},
        {"maxResults": "-1"},
        {"maxResults": "ten"},
        {"maxResults": "\u0661"},
        {"versions": "yes"},
        {"includeTrailingDelimiter": ""},
        {"pageToken": "p/b.csv"},
        {"pageToken": "MQ=="},
    ],
)
def test_value_that_is_not_served_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(RefusedError) as refused:
        select("storage#objects", [{"name": "a"}], query)
    assert refused.value.status == 400
    assert next(iter(query)) in str(refused.value)


def test_pages_of_one_name_as_prefix_and_item_do_not_repeat() -> None:
    pages = []
    token: dict[str, str] = {}
    while True:
        query = {"delimiter": ".csv", "includeTrailingDelimiter": "true", "maxResults": "1", **token}
        page = select("storage#objects", [{"name": name} for name in FILES], query)
        pages.append(str(page.get("items") or page["prefixes"]))
        if "nextPageToken" not in page:
            break
        token = {"pageToken": page["nextPageToken"]}
    assert len(pages) == 8
    assert all(one != other for one, other in pairwise(pages))
