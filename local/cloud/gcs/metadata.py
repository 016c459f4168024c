"""Finds and checks the names in the JSON that clients send: resources, and the first part of a multipart upload.

What passes on is not what the client sent, but what was read and checked here, written anew. So it does not matter that
fake-gcs-server reads JSON in another way: it takes the last of two equal keys, and keys in any letter case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from local.cloud.gcs.names import check_bucket, check_object

MAX_BYTES = 2**20
"""Size of the JSON that is accepted; Google's limit for the metadata of an object is 8 KiB."""
_BOUNDARY = re.compile(
    r"multipart/related\s*;\s*boundary="
    r"""(?:"([\w'()+,./:=? -]{1,70})"|'([\w()+,./:=?-]{1,70})'|([\w+.=-]{1,70}))""",
    re.ASCII | re.IGNORECASE,
)


class BodyRefusedError(ValueError):
    """A request's body cannot be read or is not allowed; the message says why."""


def check_json(body: bytes, *, bucket: str, names_a_bucket: bool = False) -> tuple[bytes, list[tuple[str, str]]]:
    """Check the names in a JSON resource.

    Args:
        bucket: the bucket that the request's path names.
        names_a_bucket: whether the resource's ``name`` is a bucket's.

    Returns:
        The resource, to be passed on in place of ``body``; and all objects that it names, as bucket and name.

    Raises:
        BodyRefusedError: it is not a JSON object.
        NameRefusedError: a name in it is not allowed.
    """
    try:
        value = json.loads(body.decode(), object_pairs_hook=_unique)
        encoded = json.dumps(value, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise BodyRefusedError(f"the metadata is not JSON that can be checked: {error}; correct it") from error
    if not isinstance(value, dict):
        raise BodyRefusedError("the metadata is not a JSON object; send a resource")
    if names_a_bucket:
        check_bucket(_text(value, "name"))
        return encoded, []
    return encoded, list(_objects(value, bucket))


def read_boundary(content_type: str) -> str:
    """Return the boundary of a multipart upload from its ``Content-Type``.

    Raises:
        BodyRefusedError: there is none, or it has unusual characters.
    """
    match = _BOUNDARY.fullmatch(content_type.strip())
    if match is None:
        raise BodyRefusedError(f"Content-Type {content_type[:200]!r} is not multipart/related with a plain boundary")
    return match[1] or match[2] or match[3]


def split_metadata(start: bytes, boundary: str) -> tuple[bytes, int, bytes] | None:
    """Find the first part of a multipart upload.

    Returns:
        Its content, the offset in ``start`` at which what follows it begins, and how the body ends its lines; None if
        ``start`` does not reach so far.

    Raises:
        BodyRefusedError: ``start`` is not the start of a multipart body with that boundary.
    """
    text = start.removeprefix(b"\r\n").removeprefix(b"\n")
    line = b"--" + boundary.encode()
    if len(text) < len(line) + 2:
        return None
    # gcsfs ends lines with a mere line feed, which Cloud Storage accepts too.
    newline = next((end for end in (b"\r\n", b"\n") if text.startswith(line + end)), None)
    if newline is None:
        raise BodyRefusedError("the multipart body does not begin with its boundary; send the metadata first")
    head_end = text.find(newline * 2)
    if head_end < 0:
        return None
    end = text.find(newline + line, head_end + len(newline))
    if end < 0:
        return None
    return text[head_end + 2 * len(newline) : end], len(start) - len(text) + end, newline


def join_metadata(metadata: bytes, boundary: str, newline: bytes = b"\r\n") -> bytes:
    """Return the start of a multipart body up to the end of its first part, ``metadata``."""
    head = (b"--" + boundary.encode(), b"content-type: application/json; charset=UTF-8", b"", metadata)
    return newline.join(head)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    folded = [key.casefold() for key, _ in pairs]
    if len(set(folded)) < len(folded):
        raise ValueError("a key appears twice")
    return dict(pairs)


def _objects(value: Any, bucket: str) -> Iterator[tuple[str, str]]:
    """Yield all objects named in a resource, checked; the user's own metadata names none."""
    if isinstance(value, list):
        for one in value:
            yield from _objects(one, bucket)
    if not isinstance(value, dict):
        return
    keys = {key.casefold(): key for key in value}
    if "bucket" in keys and value[keys["bucket"]] is not None:
        bucket = check_bucket(_text(value, keys["bucket"]))
    if "name" in keys and value[keys["name"]] not in (None, ""):
        yield bucket, check_object(_text(value, keys["name"]))
    for folded, key in keys.items():
        if folded != "metadata":
            yield from _objects(value[key], bucket)


def _text(value: dict[str, Any], key: str) -> str:
    text = value.get(key)
    if not isinstance(text, str):
        raise BodyRefusedError(f"{key!r} in the metadata is not a text; correct it")
    return text
