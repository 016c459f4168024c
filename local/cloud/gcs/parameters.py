"""The requests that are served, each with the parameters and headers that have an effect: all others are refused.

A parameter that a server ignores is a question answered wrongly. So this table is the one place that lists them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from local.cloud.gcs.errors import RefusedError

_BUCKET = r"/storage/v1/b/(?P<bucket>[^/]+)"
_OBJECT = rf"{_BUCKET}/o/(?P<object>.+)"
_UPLOAD = r"/upload/storage/v1/b/(?P<bucket>[^/]+)/o/?"

_EVERYWHERE = frozenset(
    {
        # These four change the form of an answer, not what it says. ``fields`` asks for a part, and all is sent.
        *("alt", "fields", "prettyPrint", "projection"),
        # Who asks and who pays: here nobody does.
        *("key", "quotaUser", "userIp", "userProject"),
    }
)
CONDITIONS = ("ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch")
"""The preconditions on an object."""
SOURCE_CONDITIONS = tuple(name.replace("if", "ifSource", 1) for name in CONDITIONS)
"""The same on the source of a copy."""
_PAGES = ("maxResults", "pageToken", "prefix")
_VALUES = {
    "alt": ("json", "media"),
    "projection": ("noacl", "full"),
    "softDeleted": ("false",),
    "includeFoldersAsPrefixes": ("false",),
}
"""Parameters that are served with some of their values only."""
_UNSERVED = re.compile(rf"{_OBJECT}/(?:acl(?:/[^/]+)?|moveTo/o/.+|restore|iam(?:/\w+)?)")
"""What the JSON API has under an object's path, and would otherwise be read as an object's name."""
_REFUSED_HEADERS = re.compile(
    r"x-goog-(encryption|copy-source-encryption)-.*|x-http-method-override|if-(un)?modified-since|content-md5"
)


@dataclass(frozen=True)
class Operation:
    """A request of the JSON API.

    Attributes:
        name: what it does.
        methods: its HTTP methods.
        path: its path.
        parameters: the parameters that have an effect, beside those that every request may have.
    """

    name: str
    methods: tuple[str, ...]
    path: re.Pattern[str]
    parameters: frozenset[str] = field(default_factory=frozenset)


def _operation(name: str, methods: str, path: str, *parameters: str) -> Operation:
    return Operation(name, tuple(methods.split()), re.compile(path), frozenset(parameters) | _EVERYWHERE)


OPERATIONS = (
    _operation("list_buckets", "GET", r"/storage/v1/b/?", "project", "softDeleted", *_PAGES),
    _operation("create_bucket", "POST", r"/storage/v1/b/?", "project"),
    _operation("get_bucket", "GET", rf"{_BUCKET}/?", "softDeleted"),
    _operation("get_layout", "GET", rf"{_BUCKET}/storageLayout", "prefix"),
    _operation("delete_bucket", "DELETE", rf"{_BUCKET}/?"),
    _operation(
        *("list_objects", "GET", rf"{_BUCKET}/o/?", *_PAGES, "delimiter", "includeTrailingDelimiter", "matchGlob"),
        *("startOffset", "endOffset", "versions", "softDeleted", "includeFoldersAsPrefixes"),
    ),
    _operation("upload", "POST", _UPLOAD, "uploadType", "name", "contentEncoding", *CONDITIONS),
    _operation("continue_upload", "PUT POST", _UPLOAD, "uploadType", "name", "upload_id"),
    _operation("cancel_upload", "DELETE", _UPLOAD, "uploadType", "name", "upload_id"),
    _operation(
        *("copy", "POST", rf"{_BUCKET}/o/(?P<object>.+/(?:rewriteTo|copyTo)/b/.+/o/.+)"),
        *("sourceGeneration", *SOURCE_CONDITIONS, *CONDITIONS),
    ),
    _operation("compose", "POST", rf"{_BUCKET}/o/(?P<object>.+/compose)", *CONDITIONS[::2]),
    _operation("get", "GET HEAD", rf"(?:/download)?{_OBJECT}", "generation", "softDeleted", *CONDITIONS),
    _operation("delete", "DELETE", _OBJECT, "generation", *CONDITIONS),
    _operation("change", "PATCH PUT", _OBJECT, "generation", *CONDITIONS),
)


def find_operation(
    method: str, path: str, query: dict[str, str], headers: dict[str, str]
) -> tuple[Operation, re.Match[str]]:
    """Return what a request asks for, and the parts of its path.

    Raises:
        RefusedError: it is not served, or has a parameter or a header that is not.
    """
    found = [(one, match) for one in OPERATIONS if (match := one.path.fullmatch(path))]
    if not found or _UNSERVED.fullmatch(path):
        raise RefusedError(
            400,  # not 404, which clients take for an object that does not exist
            f"{path[:200]} is not served; use the JSON API of Cloud Storage, without batches, access control and moves",
        )
    for operation, match in found:
        if method in operation.methods and (operation.name == "upload") == (
            method == "POST" and path.startswith("/upload/storage/") and "upload_id" not in query
        ):
            _check(operation, query, headers)
            return operation, match
    methods = ", ".join(dict.fromkeys(one for operation, _ in found for one in operation.methods))
    raise RefusedError(
        400,
        f"{method} {path[:200]} is not served here; what is served under this path has the method {methods}",
    )


def _check(operation: Operation, query: dict[str, str], headers: dict[str, str]) -> None:
    for name, value in query.items():
        if name not in operation.parameters:
            raise RefusedError(
                400,
                f"the parameter {name[:100]!r} is not served with {operation.name} and would have no effect; leave it "
                f"out. Served are {', '.join(sorted(operation.parameters))}",
            )
        if name in _VALUES and value.lower() not in _VALUES[name]:
            raise RefusedError(400, f"{name}={value[:100]!r} is not served; use {' or '.join(_VALUES[name])}")
    for name in headers:
        if _REFUSED_HEADERS.fullmatch(name):
            raise RefusedError(400, f"the header {name[:100]!r} is not served and would have no effect; leave it out")
