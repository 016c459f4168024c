"""The attributes of an object, which fake-gcs-server keeps in JSON beside its content, and how a client changes them.

fake-gcs-server itself changes them by writing a new generation, cannot remove one, and knows no metageneration; a copy
merges them, and loses the storage class and the custom time. So the front changes them in place. A bucket's properties,
of which fake-gcs-server keeps none, are kept in the same way at its folder.

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

from local.cloud.gcs.errors import RefusedError
from local.cloud.gcs.resources import EDITABLE, TEXTS

_NAME = "user.metadata"
"""The extended attribute. On a file system without them, it is a file."""
_SUFFIX = ".metadata"
_MACOS_BYTES = 1 << 16
"""Size of the buffer for the attribute on macOS."""
_COUNT = "Metageneration"
_COMPONENTS = "ComponentCount"
"""Two counts under names that fake-gcs-server ignores and leaves out of a new generation."""
_FIELDS = {key: key[0].upper() + key[1:] for key in TEXTS}
_NO_TIMES = ("", "0001-01-01T00:00:00Z")


def generation(path: Path) -> int:
    """Return the generation of an object; 0 if it does not exist."""
    try:
        return int(read(path).get("Generation") or 0)
    except (OSError, ValueError):
        return 0


def set_generation(path: Path, generation: int) -> None:
    """Give an object that exists, and that nobody else writes, another generation."""
    attributes = read(path)
    attributes["Generation"] = generation
    _set_etag(attributes)
    _write(path, attributes)


def metageneration(path: Path, generation: str) -> str:
    """Return how often the attributes of an object's generation have been written; 1 unless they were changed."""
    return str(_of_generation(path, generation).get(_COUNT, 1))


def complete(path: Path, resource: dict[str, Any]) -> None:
    """Add to an object's resource what fake-gcs-server does not know."""
    attributes = _of_generation(path, resource["generation"])
    resource["metageneration"] = str(attributes.get(_COUNT, 1))
    if _COMPONENTS in attributes:
        resource["componentCount"] = attributes[_COMPONENTS]


def components(attributes: Mapping[str, Any]) -> int:
    """Return how many objects the one with these attributes was composed of; 1 if it was not."""
    return int(attributes.get(_COMPONENTS, 1))


def describe(path: Path, resource: Mapping[str, Any], *, storage_class: str, components: int = 0) -> None:
    """Give an object that was just written, and that nobody else writes, what fake-gcs-server leaves out.

    Args:
        path: its file.
        resource: what the client says about it.
        storage_class: its storage class, unless the client names one.
        components: number of objects that it was composed of; 0 if it was not.
    """
    attributes = read(path)
    _apply(attributes, {key: value for key, value in resource.items() if value is not None})
    attributes["StorageClass"] = resource.get("storageClass") or storage_class
    if components:
        attributes[_COMPONENTS] = components
        attributes["Md5Hash"] = ""  # Cloud Storage has none for a composite object
    _set_etag(attributes)
    _write(path, attributes)


def describe_copy(path: Path, resource: Mapping[str, Any], *, source: Mapping[str, Any], storage_class: str) -> None:
    """Do the same for a copy.

    It has the source's editable metadata, or, if the client gives some, that alone.

    Args:
        path: its file.
        resource: what the client says about it.
        source: the source's attributes, as :func:`read` returned them before.
        storage_class: its storage class, unless the client names one.
    """
    attributes = read(path)
    given = any(resource.get(key) is not None for key in EDITABLE)
    for field in (*_FIELDS.values(), "CustomTime", "Metadata"):
        attributes[field] = ({} if field == "Metadata" else "") if given else source.get(field)
    _write(path, attributes)
    count = source.get(_COMPONENTS, 0)
    is_same = (resource.get("storageClass") or storage_class) == source.get("StorageClass")
    describe(path, resource, storage_class=storage_class, components=count if is_same else min(count, 1))


def change(path: Path, resource: Mapping[str, Any], *, replaces: bool) -> None:
    """Change the attributes of an object that exists and that nobody else writes.

    Args:
        path: its file.
        resource: the new values; null removes one.
        replaces: whether what ``resource`` does not name is removed.

    Raises:
        RefusedError: it has another storage class, which only a rewrite changes, or an earlier custom time.
    """
    attributes = read(path)
    if resource.get("storageClass") not in (attributes.get("StorageClass"), None):
        raise RefusedError(400, "the storage class of an object is changed by a rewrite, not by an update; rewrite it")
    _check_custom_time(attributes, resource)
    if replaces:
        attributes["Metadata"] = {}
        resource = {**dict.fromkeys(_FIELDS), **resource}
    _apply(attributes, resource)
    attributes[_COUNT] = int(attributes.get(_COUNT, 1)) + 1
    attributes["Updated"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    _set_etag(attributes)
    _write(path, attributes)


def read_bucket(path: Path) -> dict[str, Any]:
    """Return the properties that a bucket, given by its folder, was created with."""
    try:
        return read(path)
    except (OSError, ValueError):
        return {}  # its folder was made in another way


def describe_bucket(path: Path, resource: Mapping[str, Any]) -> None:
    """Keep the properties that a bucket, given by its folder, was created with."""
    content = json.dumps(resource).encode()
    try:
        _setxattr(path, content)
    except OSError:
        path.with_name(path.name + _SUFFIX).write_bytes(content)


def forget_bucket(path: Path) -> None:
    """Forget the properties of a bucket whose folder has been deleted."""
    path.with_name(path.name + _SUFFIX).unlink(missing_ok=True)


def _of_generation(path: Path, generation: str) -> dict[str, Any]:
    """Return the attributes of an object's generation; none if it has just been replaced or deleted."""
    try:
        attributes = read(path)
    except (OSError, ValueError):
        return {}
    return attributes if str(attributes.get("Generation")) == generation else {}


def _apply(attributes: dict[str, Any], resource: Mapping[str, Any]) -> None:
    for key, field in _FIELDS.items():
        if key in resource:
            attributes[field] = resource[key] or ""
    if resource.get("customTime") is not None:
        attributes["CustomTime"] = resource["customTime"]
    if "metadata" in resource:
        given = resource["metadata"]
        merged = {} if given is None else {**(attributes.get("Metadata") or {}), **given}
        attributes["Metadata"] = {key: value for key, value in merged.items() if value is not None}


def _check_custom_time(attributes: Mapping[str, Any], resource: Mapping[str, Any]) -> None:
    """Refuse an earlier time, and none: https://cloud.google.com/storage/docs/metadata#custom-time."""
    before = attributes.get("CustomTime") or ""
    if "customTime" not in resource or before in _NO_TIMES:
        return
    after = resource["customTime"]
    if after is None or datetime.fromisoformat(after) < datetime.fromisoformat(before):
        raise RefusedError(400, f"customTime is {before}, and can only be set to a later time; rewrite the object")


def _set_etag(attributes: dict[str, Any]) -> None:
    """Tell generations and their metadata apart; fake-gcs-server tells contents apart."""
    text = f"{attributes['Generation']}/{attributes.get(_COUNT, 1)}"
    attributes["Etag"] = base64.b64encode(text.encode()).decode()


def read(path: Path) -> dict[str, Any]:
    """Return the attributes of an object as fake-gcs-server keeps them.

    Raises:
        OSError: there is none, or it has none.
    """
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
        os.setxattr(path, _NAME, content)
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
