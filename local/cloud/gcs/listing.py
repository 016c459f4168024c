"""Lists of objects and buckets: filters, directory-like results and pages, as Cloud Storage documents them.

fake-gcs-server lists everything below a prefix; it knows no ``matchGlob``, and of a ``delimiter`` only the first byte.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from local.cloud.gcs.errors import RefusedError
from local.cloud.gcs.request import boolean, number

_MAX_RESULTS = 1000
"""Most items and prefixes of a page, whatever the client asks for."""
_GLOB = re.compile(
    r"(?P<folders>(?:^|(?<=/))\*\*/)|(?P<all>\*\*+)|(?P<any>\*)|(?P<one>\?)"
    r"|\[(?P<set>[^\[\]!^/]+)\]|\{(?P<choices>[^{}\[\]*?/]+)\}|(?P<plain>[^\[\]{}\\])"
)


def select(kind: str, items: Sequence[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Return the page of a list that the parameters ask for.

    Args:
        kind: the list's ``kind``.
        items: the resources of all objects or buckets.
        query: the parameters.

    Raises:
        RefusedError: a parameter has a value that is not served.
    """
    size = min(number(query, "maxResults") or _MAX_RESULTS, _MAX_RESULTS)
    after = _read_token(query["pageToken"]) if query.get("pageToken") else ("", False)
    page: dict[str, Any] = {"kind": kind}
    count, last = 0, after
    for name, item in _entries(items, query):
        if (name, item is not None) <= after:
            continue
        if count == size:
            page["nextPageToken"] = base64.urlsafe_b64encode(json.dumps(last).encode()).decode()
            break
        count, last = count + 1, (name, item is not None)
        page.setdefault("prefixes" if item is None else "items", []).append(name if item is None else item)
    return page


def glob_pattern(glob: str) -> re.Pattern[str]:
    """Return the regular expression of a ``matchGlob``.

    ``*`` and ``?`` match within one folder, ``**`` across folders, ``[abc]`` and ``[a-e]`` one character, ``{a,b}`` one
    of several texts. ``**/`` at the start of a folder's name also matches no folder at all.

    Raises:
        RefusedError: it has something else, such as a negated or nested set.
    """
    written, position = "", 0
    while position < len(glob):
        match = _GLOB.match(glob, position)
        if match is None:
            raise RefusedError(
                400,
                f"matchGlob {glob[:200]!r} is not served from {glob[position:][:20]!r} on; use *, **, ?, [abc], [a-e] "
                "and {a,b}, not nested and not negated",
            )
        position = match.end()
        if match["set"]:
            written += f"[{re.sub(r'[^A-Za-z0-9-]', lambda sign: re.escape(sign[0]), match['set'])}]"
        elif match["choices"]:
            written += f"(?:{'|'.join(re.escape(choice) for choice in match['choices'].split(','))})"
        elif match["plain"]:
            written += re.escape(match["plain"])
        else:
            written += {"folders": "(?:.*/)?", "all": ".*", "any": "[^/]*", "one": "[^/]"}[str(match.lastgroup)]
    try:
        return re.compile(written, re.DOTALL)
    except re.error as error:
        raise RefusedError(400, f"matchGlob {glob[:200]!r} cannot be read: {error}; correct it") from error


def _entries(items: Sequence[dict[str, Any]], query: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield what the list consists of, in the order of names: items, and prefixes with None."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    trailing = boolean(query, "includeTrailingDelimiter")
    boolean(query, "versions")  # of an object that has one generation, this lists all of them
    matches = glob_pattern(query["matchGlob"]).fullmatch if query.get("matchGlob") else re.compile("(?s:.*)").fullmatch
    if query.get("matchGlob") and delimiter not in ("", "/"):
        raise RefusedError(400, f"with matchGlob, delimiter={delimiter[:100]!r} is not served; leave it out or use /")
    last = ""
    for item in sorted(items, key=lambda item: str(item["name"])):
        name = str(item["name"])
        if not name.startswith(prefix) or name < query.get("startOffset", ""):
            continue
        if query.get("endOffset") and name >= query["endOffset"]:
            continue
        end = name.find(delimiter, len(prefix)) + len(delimiter) if delimiter in name[len(prefix) :] else 0
        if not delimiter or not end:
            if matches(name):
                yield name, item
            continue
        folder = name[:end]
        if matches(folder) and folder != last:
            last = folder
            yield folder, None
        if trailing and name == folder and matches(name):
            yield name, item


def _read_token(token: str) -> tuple[str, bool]:
    """Return the entry with which the last page ended, as its name and whether it is an item.

    Raises:
        RefusedError: the token is not one of those that :func:`select` returns.
    """
    try:
        name, is_item = json.loads(base64.urlsafe_b64decode(token.encode()))
        return str(name), bool(is_item)
    except (ValueError, TypeError) as error:
        raise RefusedError(
            400, f"pageToken {token[:100]!r} is not one of this server's; start the list anew"
        ) from error
