"""The attributes of an object, which fake-gcs-server keeps in JSON beside its content, and how a client changes them.

fake-gcs-server itself changes them by writing a new generation, cannot remove one, and knows no metageneration. So the
front changes them in place, and counts under a name that fake-gcs-server ignores and leaves out of a new generation.

fake-gcs-server takes the generation from the clock. The front replaces it when the clock has been set back.
"""

from __future__ import annotations

import base64
import ctypes
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
_MACOS_BYTES = 1 << 16
"""Size of the buffer for the attribute on macOS."""
_COUNT = "Metageneration"
_FIELDS = {
    "contentType": "ContentType",
    "contentEncoding": "ContentEncoding",
    "contentDisposition": "ContentDisposition",
    "contentLanguage": "ContentLanguage",
    "cacheControl": "CacheControl",
}


def generation(path: Path) -> int:
    """Return the generation of an object; 0 if it does not exist."""
    try:
        return int(_read(path).get("Generation") or 0)
    except (OSError, ValueError):
        return 0


def set_generation(path: Path, generation: int) -> None:
    """Give an object that exists, and that nobody else writes, another generation."""
    attributes = _read(path)
    attributes["Generation"] = generation
    _set_etag(attributes)
    _write(path, attributes)


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
        RefusedError: a value is not text.
    """
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
    _set_etag(attributes)
    _write(path, attributes)


def _set_etag(attributes: dict[str, Any]) -> None:
    text = f"{attributes['Generation']}/{attributes.get(_COUNT, 1)}"
    attributes["Etag"] = base64.b64encode(text.encode()).decode()


def _text(key: str, value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise RefusedError(400, f"{key[:100]!r} in the metadata is not a text; correct it")
    return value or ""


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(_getxattr(path)))
    except OSError:
        return dict(json.loads(path.with_name(path.name + _SUFFIX).read_bytes()))


def _write(path: Path, attributes: dict[str, Any]) -> None:
    content = json.dumps(attributes).encode()
    beside = path.with_name(path.name + _SUFFIX)
    if not beside.exists():
        _setxattr(path, content)
        return
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=_SUFFIX, dir=path.parent)
    with open(descriptor, "wb") as file:
        file.write(content)
    os.replace(temporary, beside)


def _getxattr(path: Path) -> bytes:
    if sys.platform == "linux":
        return os.getxattr(path, _NAME)
    return getxattr_of_macos(path)


def _setxattr(path: Path, content: bytes) -> None:
    if sys.platform == "linux":
        os.setxattr(path, _NAME, content, os.XATTR_REPLACE)
    else:
        setxattr_of_macos(path, content)


def getxattr_of_macos(path: Path) -> bytes:
    """Read the attribute on macOS, where Python has no function for it.

    Raises:
        OSError: there is none.
    """
    buffer = ctypes.create_string_buffer(_MACOS_BYTES)
    size = _libc().getxattr(os.fsencode(path), _NAME.encode(), buffer, _MACOS_BYTES, 0, 0)
    _check(size, path)
    return buffer.raw[:size]


def setxattr_of_macos(path: Path, content: bytes) -> None:
    """Write the attribute on macOS.

    Raises:
        OSError: it cannot be written.
    """
    _check(_libc().setxattr(os.fsencode(path), _NAME.encode(), content, len(content), 0, 0), path)


def _libc() -> ctypes.CDLL:
    """Return the C library, whose functions have two more arguments on macOS: position and options."""
    library = ctypes.CDLL(None, use_errno=True)
    library.getxattr.restype = ctypes.c_ssize_t
    texts, numbers = (ctypes.c_char_p,) * 3, (ctypes.c_size_t, ctypes.c_uint32, ctypes.c_int)
    library.getxattr.argtypes = library.setxattr.argtypes = (*texts, *numbers)
    return library


def _check(result: int, path: Path) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
