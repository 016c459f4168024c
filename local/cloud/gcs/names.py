"""Checks the names of buckets and objects: an object is a file, and no name may lead out of its bucket's folder.

fake-gcs-server joins its root folder, the bucket and the object's name to a path and follows where it leads. So a name
is refused if it is, or becomes when it is decoded, a path that goes up, starts at the file system's root, or means
another file than it says.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MAX_NAME = 1024
"""Bytes of an object's name, as in Google Cloud Storage."""
_MAX_SEGMENT = 230
"""Bytes of one segment; the file system allows 255, and the server's temporary files have longer names."""
_MAX_DECODINGS = 8


class NameRefusedError(ValueError):
    """A name is not allowed; the message says which, and why."""


def check_bucket(name: str) -> str:
    """Return ``name``.

    Raises:
        NameRefusedError: it is not the name of a bucket.
    """
    if not _BUCKET.fullmatch(name) or ".." in name:
        raise NameRefusedError(
            f"the bucket name {_shown(name)} is not allowed; use 3 to 222 small letters, digits, '-', '_' and '.', "
            "with a letter or digit at both ends and no '..'"
        )
    return name


def check_object(name: str) -> str:
    """Return ``name``.

    Raises:
        NameRefusedError: it is not the name of an object, or could leave its bucket.
    """
    if not name:
        raise NameRefusedError("the object name is empty; name the object")
    check_text(name)
    if len(name.encode()) > _MAX_NAME:
        raise NameRefusedError(f"the object name {_shown(name)} is longer than {_MAX_NAME} bytes; shorten it")
    for form in _forms(name):
        segments = form.removesuffix("/").split("/")
        if "" in segments or "." in segments:
            raise NameRefusedError(
                f"the object name {_shown(name)} begins with '/', or has '//' or a part '.'; objects here are files, "
                "so write it without"
            )
    for segment in name.split("/"):
        if len(segment.encode()) > _MAX_SEGMENT:
            raise NameRefusedError(
                f"the object name {_shown(name)} has a part of more than {_MAX_SEGMENT} bytes between two '/', which a "
                "file system does not take; shorten it"
            )
    return name


def check_text(text: str) -> str:
    """Return ``text``, for example a prefix of names.

    Raises:
        NameRefusedError: as a name it would lead out of a bucket.
    """
    for form in _forms(text):
        if ".." in form.split("/") or "\\" in form or _CONTROL.search(form):
            raise NameRefusedError(
                f"{_shown(text)} has '..', a backslash or a control character, plain or encoded, with which it could "
                "lead out of its bucket; use another name"
            )
    return text


def check_file(root: Path, bucket: str, name: str = "") -> Path:
    """Return the file of an object, or the folder of a bucket; it need not exist.

    Raises:
        NameRefusedError: a symbolic link on the way leads elsewhere.
    """
    path = os.path.realpath(root)
    for part in (bucket, *name.removesuffix("/").split("/")):
        path = os.path.join(path, part)
        if os.path.islink(path):
            raise NameRefusedError(
                f"{_shown(f'{bucket}/{name}')} lies behind a symbolic link in {root}, which could lead out of it; "
                "replace the link by the folder or file itself"
            )
    return Path(path)


def _forms(text: str) -> Iterator[str]:
    """Yield ``text`` and all that it becomes when it is percent-decoded, each also in Unicode's compatibility form.

    Raises:
        NameRefusedError: it is encoded more than eight times, or decodes to something that is not UTF-8.
    """
    for _ in range(_MAX_DECODINGS):
        yield text
        yield unicodedata.normalize("NFKC", text)
        try:
            decoded = unquote_to_bytes(text).decode()
        except UnicodeError as error:
            raise NameRefusedError(f"{_shown(text)} is not UTF-8; use another name") from error
        if decoded == text:
            return
        text = decoded
    raise NameRefusedError(f"{_shown(text)} is percent-encoded more than {_MAX_DECODINGS} times; use another name")


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 100 else text[:100] + "...")
