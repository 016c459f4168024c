"""Holds requests against Google's own description of its services, the discovery documents.

They come with google-api-python-client: https://developers.google.com/discovery/v1/reference/apis
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from tests.google.recording import Request

VERSIONS = {
    "storage": "storage.v1",
    "bigquery": "bigquery.v2",
    "cloudresourcemanager": "cloudresourcemanager.v3",
    "serviceusage": "serviceusage.v1beta1",
}
# Not a method of the API: any of Google's servers answers it, and only the ``Date`` of the answer is read.
CLOCK = ("HEAD", "/")
_PREFIX = re.compile(r"/(?P<kind>upload/|download/)?(?P<service>storage/v1/|bigquery/v2/|)(?P<rest>.*)")
# https://cloud.google.com/storage/docs/performing-resumable-uploads#chunked-upload
_SENT_RANGE = re.compile(r"bytes (?P<first>\d+)-(?P<last>\d+)/(?P<all>\d+|\*)")
PART_BYTES = 256 * 1024
_VALUES = {"boolean": r"true|false", "integer": r"-?\d+"}


class UnknownMethodError(AssertionError):
    """Google describes no method with such a path."""


def method_of(request: Request) -> str:
    """Return the id of the method that a request calls, such as ``bigquery.jobs.insert``.

    Raises:
        UnknownMethodError: there is none.
    """
    return "no method: the clock" if (request.method, request.path) == CLOCK else str(_method(request)["id"])


def problems(request: Request) -> list[str]:
    """Return what of a request Google's description does not allow; empty if it is as described.

    Raises:
        UnknownMethodError: there is no such method.
    """
    if (request.method, request.path) == CLOCK:
        return []
    document, method = _document(request.service), _method(request)
    # Google chooses the whole address at which an upload goes on.
    found = list(_of_part(request)) if request.is_continued else list(_of_query(document, method, request))
    if "request" in method:
        if request.body is not None:
            found += _of_value(document, method["request"], request.body, "body")
    elif request.body is not None:
        found.append(f"{method['id']} takes no body")
    if request.media and not method.get("supportsMediaUpload"):
        found.append(f"{method['id']} takes no {', '.join(request.media)}")
    return found


def problems_of_answer(request: Request, answer: Any) -> list[str]:
    """Return what of an answer to a request Google's description does not have.

    Raises:
        UnknownMethodError: there is no such method.
    """
    document, method = _document(request.service), _method(request)
    return list(_of_value(document, method["response"], answer, "answer", by_server=True))


@cache
def _document(service: str) -> Any:
    path = files("googleapiclient") / "discovery_cache" / "documents" / f"{VERSIONS[service]}.json"
    return json.loads(path.read_text("utf-8"))


def _of_part(request: Request) -> Iterator[str]:
    sent = _SENT_RANGE.fullmatch(request.sent_range)
    if sent is None:
        yield f"a part of an upload says {request.sent_range!r} of its place"
        return
    size = int(sent["last"]) + 1 - int(sent["first"])
    if str(int(sent["last"]) + 1) != sent["all"] and size % PART_BYTES:
        yield f"a part that is not the last has {size} bytes, no multiple of {PART_BYTES}"


def _method(request: Request) -> dict[str, Any]:
    if request.is_continued:
        request = replace(request, method="POST")
    document, path = _document(request.service), _PREFIX.fullmatch(request.path)
    if path is not None and path["service"] == document["servicePath"]:
        for method in _methods(document):
            if method["httpMethod"] == request.method and _takes(method, path["kind"], path["rest"]):
                return method
    raise UnknownMethodError(f"{request.service} has no {request.method} {request.path}")


def _methods(resource: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from resource.get("methods", {}).values()
    for nested in resource.get("resources", {}).values():
        yield from _methods(nested)


def _takes(method: Mapping[str, Any], kind: str | None, rest: str) -> bool:
    if kind == "upload/" and "mediaUpload" not in method:
        return False
    if kind == "download/" and not method.get("useMediaDownloadService"):
        return False
    parts = re.split(r"(\{[^}]*\})", method["path"])
    pattern = "".join(_pattern(method, part) if part.startswith("{") else re.escape(part) for part in parts)
    return re.fullmatch(pattern, rest) is not None


def _pattern(method: Mapping[str, Any], part: str) -> str:
    """Return the pattern of a parameter in a path; of those with a plus, Google says what they may be."""
    return str(method["parameters"][part.strip("{+}")].get("pattern", "[^/]+")).strip("^$")


def _of_query(document: Mapping[str, Any], method: Mapping[str, Any], request: Request) -> Iterator[str]:
    own = {name: one for name, one in method.get("parameters", {}).items() if one["location"] == "query"}
    known = {**document["parameters"], **own}
    if "mediaUpload" in method:
        known["upload_id"] = {"type": "string"}
    for name, value in request.query:
        if (described := known.get(name)) is None:
            yield f"{method['id']} has no parameter {name}"
        elif not _is_text_of(described, value):
            yield f"{method['id']}: {name}={value} is no {described['type']} as described"
    given = {name for name, _ in request.query}
    for name, one in own.items():
        if one.get("required") and name not in given:
            yield f"{method['id']} needs the parameter {name}"


def _is_text_of(described: Mapping[str, Any], value: str) -> bool:
    pattern = _VALUES["integer"] if described.get("format", "").endswith("64") else _VALUES.get(described["type"])
    if pattern is not None and not re.fullmatch(pattern, value):
        return False
    return value in described.get("enum", [value])


def _of_value(
    document: Mapping[str, Any], described: Mapping[str, Any], value: Any, place: str, *, by_server: bool = False
) -> Iterator[str]:
    """Yield what of a JSON value its schema does not allow; null counts as not given, as at Google."""
    if "$ref" in described:
        described = document["schemas"][described["$ref"]]
    if value is None or described["type"] == "any":
        return
    if described["type"] == "array":
        if not isinstance(value, list):
            yield f"{place} is no array"
            return
        for number, item in enumerate(value):
            yield from _of_value(document, described["items"], item, f"{place}[{number}]", by_server=by_server)
    elif described["type"] == "object":
        yield from _of_object(document, described, value, place, by_server=by_server)
    elif not _is_json_of(described, value):
        yield f"{place} is {value!r:.80}, and no {described['type']} as described"
    elif described.get("readOnly") and not by_server:
        yield f"{place} is set by the server only"


def _of_object(
    document: Mapping[str, Any], described: Mapping[str, Any], value: Any, place: str, *, by_server: bool
) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place} is no object"
        return
    named, others = described.get("properties", {}), described.get("additionalProperties")
    for name, item in value.items():
        if (schema := named.get(name, others)) is None:
            yield f"{place} has no {name}"
        else:
            yield from _of_value(document, schema, item, f"{place}.{name}", by_server=by_server)


def _is_json_of(described: Mapping[str, Any], value: Any) -> bool:
    type_, is_number = described["type"], isinstance(value, int | float) and not isinstance(value, bool)
    if described.get("format", "").endswith("64") and type_ == "string":  # 64 bits as text, or as a number
        return bool(re.fullmatch(_VALUES["integer"], str(value))) and not isinstance(value, bool)
    if type_ == "integer":
        return isinstance(value, int) and is_number
    if type_ == "string":
        return isinstance(value, str) and value in described.get("enum", [value])
    return isinstance(value, bool) if type_ == "boolean" else is_number
