"""Objects of the GCS emulator, read directly from its files: ``<root>/<bucket>/<object name>``.

fake-gcs-server writes an object to ``.<name><digits>`` in the same folder and renames it when it is complete. So a file
under an object's name is always complete; temporary names are skipped here.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.cloud.bigquery.limits import invalid, not_found
from local.cloud.gcs.names import NameRefusedError, check_bucket, check_object

_URI = re.compile(r"gs://(?P<bucket>[^/*]+)/(?P<name>.+)", re.DOTALL)
_TEMPORARY = re.compile(r"\..*\d+")
_METADATA_SUFFIX = ".metadata"


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """One object: its URI and its file."""

    uri: str
    path: str
    size: int
    modified_ns: int

    @property
    def duckdb_path(self) -> str:
        """The path, with characters escaped that DuckDB would read as wildcards."""
        return glob.escape(self.path)


def list_objects(root: Path, uri: str) -> list[StoredObject]:
    """Return the objects that match ``uri``, sorted by name.

    Args:
        root: the GCS emulator's root folder.
        uri: ``gs://bucket/name``; one ``*`` in the name matches any characters including ``/``, as in BigQuery.

    Raises:
        ValidationError: the URI is malformed.
    """
    match = _URI.fullmatch(uri)
    if not match:
        raise invalid(f"Source URI must be a Google Cloud Storage location: gs://bucket/object; got {uri!r}")
    name = match["name"]
    try:
        check_bucket(match["bucket"])
        check_object(name)
    except NameRefusedError as error:
        raise invalid(f"Source URI {uri!r}: {error}") from error
    if name.count("*") > 1:
        raise invalid(f"Source URI may have one wildcard (*) only; got {uri!r}")
    bucket = Path(os.path.realpath(root), match["bucket"])
    if "*" not in name:
        return list(_stored(bucket, [bucket / name]))
    before, after = name.split("*")
    folder = bucket / before.rpartition("/")[0]
    pattern = re.compile(re.escape(before) + ".*" + re.escape(after), re.DOTALL)
    found = _stored(bucket, _files(folder))
    return sorted((o for o in found if pattern.fullmatch(_name(o, bucket))), key=lambda o: o.uri)


def require_objects(root: Path, uris: list[str]) -> list[StoredObject]:
    """Return the objects that match ``uris``, each once.

    Raises:
        NotFoundError: one of the URIs matches no object.
    """
    objects: dict[str, StoredObject] = {}
    for uri in uris:
        found = list_objects(root, uri)
        if not found:
            raise not_found("URI", uri)
        objects.update((o.uri, o) for o in found)
    return list(objects.values())


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in names:
            yield Path(parent, name)


def _stored(bucket: Path, paths: Iterator[Path] | list[Path]) -> Iterator[StoredObject]:
    for path in paths:
        if _TEMPORARY.fullmatch(path.name) or _is_metadata(path):
            continue
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue  # deleted since it was listed
        # A symbolic link may lead out of the bucket.
        if path.is_file() and os.path.realpath(path) == str(path):
            name = path.relative_to(bucket).as_posix()
            yield StoredObject(
                uri=f"gs://{bucket.name}/{name}",
                path=str(path),
                size=status.st_size,
                modified_ns=status.st_mtime_ns,
            )


def _is_metadata(path: Path) -> bool:
    """Return whether ``path`` is fake-gcs-server's ``<name>.metadata``, used without extended attributes."""
    return path.name.endswith(_METADATA_SUFFIX) and path.with_name(path.name.removesuffix(_METADATA_SUFFIX)).exists()


def _name(stored: StoredObject, bucket: Path) -> str:
    return stored.uri.removeprefix(f"gs://{bucket.name}/")
