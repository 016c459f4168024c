"""The attributes of an object, which fake-gcs-server keeps in JSON beside its content, and how a client changes them.

fake-gcs-server itself changes them by writing a new generation, cannot remove one, and knows no metageneration. So the
front changes them in place, and counts under a name that fake-gcs-server ignores and leaves out of a new generation.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.cloud.gcs.request import RefusedError

_NAME = "user.metadata"
"""The extended attribute. On a file system without them, it is a file."""
_SUFFIX = ".metadata"
_COUNT = "Metageneration"
_FIELDS = {
    "contentType": "ContentType",
    "contentEncoding": "ContentEncoding",
    "contentDisposition": "ContentDisposition",
    "contentLanguage": "ContentLanguage",
    "cacheControl": "CacheControl",
}


def metageneration(path: Path, generation: str) -> str:
    """Return how often the attributes of an object's generation have been written; 1 unless they were changed."""
    try:
        attributes = _read(path)
    except (OSError, ValueError):
        return "1"  # it has just been replaced or deleted
    return str(attributes.get(_COUNT, 1)) if str(attributes.get("Generation")) == generation else "1"


def change(path: Path, resource: Mapping[str, Any], *, replaces: bool) -> None:
    """Change the attributes of an object that exists and that nobody else writes.

    Args:
        path: its file.
        resource: the new values; null removes one.
        replaces: whether what ``resource`` does not name is removed.

    Raises:
        RefusedError: a value is not text, or the platform does not let the front change attributes.
    """
    if sys.platform != "linux":
        raise RefusedError(
            400, "changing an object's metadata is served on Linux only; upload the object again with it"
        )
    attributes = _read(path)
    if "storageClass" in resource and resource["storageClass"] not in (
        attributes.get("StorageClass"),
        "STANDARD",
        None,
    ):
        raise RefusedError(400, "the storage class is not served; leave it out")
    if resource.get("customTime") not in (attributes.get("CustomTime"), None):
        raise RefusedError(400, "changing customTime is not served; upload the object again with it")
    for key, field in _FIELDS.items():
        if replaces or key in resource:
            attributes[field] = _text(key, resource.get(key))
    if replaces or "metadata" in resource:
        given = resource.get("metadata") or {}
        if not isinstance(given, dict):
            raise RefusedError(400, "'metadata' is not an object of texts; correct it")
        kept = {} if replaces or not given else attributes.get("Metadata") or {}
        new = {key: _text(key, value) for key, value in given.items() if value is not None}
        attributes["Metadata"] = {key: value for key, value in kept.items() if key not in given} | new
    attributes[_COUNT] = int(attributes.get(_COUNT, 1)) + 1
    attributes["Updated"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    attributes["Etag"] = base64.b64encode(f"{attributes['Generation']}/{attributes[_COUNT]}".encode()).decode()
    _write(path, attributes)


def _text(key: str, value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise RefusedError(400, f"{key[:100]!r} in the metadata is not a text; correct it")
    return value or ""


def _read(path: Path) -> dict[str, Any]:
    if sys.platform == "linux":
        try:
            return dict(json.loads(os.getxattr(path, _NAME)))
        except OSError:
            pass
    return dict(json.loads(path.with_name(path.name + _SUFFIX).read_bytes()))


def _write(path: Path, attributes: dict[str, Any]) -> None:
    content = json.dumps(attributes).encode()
    beside = path.with_name(path.name + _SUFFIX)
    if not beside.exists():
        if sys.platform == "linux":
            os.setxattr(path, _NAME, content, os.XATTR_REPLACE)
        return
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=_SUFFIX, dir=path.parent)
    with open(descriptor, "wb") as file:
        file.write(content)
    os.replace(temporary, beside)
