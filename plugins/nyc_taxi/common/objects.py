"""Files as objects in Cloud Storage, by the provider's hook: whole, with checksums, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nyc_taxi.common.files import explained_disk_full
from nyc_taxi.common.text import printable

if TYPE_CHECKING:
    from airflow.providers.google.cloud.hooks.gcs import GCSHook

SCHEME = "gs://"
# The upload keeps one chunk in memory; the client's default is 100 MiB.
CHUNK_BYTES = 16 * 1024 * 1024
_ROLE = "Storage Object User"


class WorkDirError(OSError):
    """The work dir is wrong or out of reach for good; a retry would fail the same way."""


class MissingFileError(FileNotFoundError):
    """A file is missing that an earlier task of the run has written."""


def is_object(path: str) -> bool:
    """Return whether a path names an object, and not a local file."""
    return path.startswith(SCHEME)


def fetch(uri: str, target: Path) -> None:
    """Download an object to a local file.

    Raises:
        MissingFileError: the bucket lacks the object.
        WorkDirError: the bucket does not exist, or refuses the request.
        DiskFullError: the disk is full.
        OSError: the bucket cannot be reached, or answers with any other error.
    """
    from google.cloud.exceptions import NotFound

    bucket, name = _parts(uri)
    hook = _hook()
    with _explained("read", uri), explained_disk_full(target):
        try:
            hook.download(bucket, name, filename=str(target))
        except NotFound:
            # Fails as well if the bucket is what is missing. The hook's own list would go on to the end of the bucket.
            next(iter(hook.get_conn().list_blobs(bucket, max_results=1)), None)
            raise MissingFileError(
                f"there is no {uri}, which an earlier task of this run has written: a lifecycle rule of the bucket or "
                "somebody has deleted it. Clear the run, which writes it again"
            ) from None


def store(source: Path, uri: str) -> None:
    """Upload a local file as an object, which appears with the end of the upload; an existing one is replaced.

    Raises:
        WorkDirError: the bucket does not exist, or refuses the request.
        OSError: the bucket cannot be reached, or answers with any other error.
    """
    bucket, name = _parts(uri)
    with _explained("write", uri):
        _hook().upload(bucket, name, filename=str(source), chunk_size=CHUNK_BYTES)


def folders(uri: str) -> list[str]:
    """Return the URIs of the folders directly below a folder; raises what :func:`store` raises."""
    bucket, prefix = _parts(f"{uri}/")
    with _explained("list", uri):
        found = _hook().list(bucket, prefix=prefix, delimiter="/")
    return sorted(f"{SCHEME}{bucket}/{name.rstrip('/')}" for name in found if name.endswith("/") and name != prefix)


def remove_folder(uri: str) -> None:
    """Delete all objects of a folder, those of all depths; raises what :func:`store` raises."""
    from google.cloud.exceptions import NotFound

    bucket, prefix = _parts(f"{uri}/")
    hook = _hook()
    with _explained("delete", uri):
        for name in hook.list(bucket, prefix=prefix):
            try:
                hook.delete(bucket, name)
            except NotFound:  # another task has deleted it
                continue


def changed_at(uri: str) -> float:
    """Return when the newest object of a folder was written, in seconds since 1970.

    Raises what :func:`store` raises.
    """
    bucket, prefix = _parts(f"{uri}/")
    with _explained("list", uri):
        times = [blob.updated.timestamp() for blob in _hook().get_conn().list_blobs(bucket, prefix=prefix)]
    return max(times, default=0.0)


def _hook() -> GCSHook:
    # Not at the top: tasks with a local work dir do not need it, and its import takes a second.
    from airflow.providers.google.cloud.hooks.gcs import GCSHook

    return GCSHook()


def _parts(uri: str) -> tuple[str, str]:
    """Return the bucket and the object's name."""
    found = re.fullmatch(rf"{SCHEME}([^/]+)/(.+)", uri)
    assert found, uri  # the work dir was checked when the path was made
    return found[1], found[2]


@contextmanager
def _explained(verb: str, uri: str) -> Iterator[None]:
    """Turn the client's errors about a request into one line that says what to do."""
    from google.api_core.exceptions import BadRequest, Forbidden, GoogleAPIError, NotFound, Unauthorized

    bucket = _parts(f"{uri}/")[0]
    problem = f"cannot {verb} {uri}"
    try:
        yield
    except NotFound as error:
        raise WorkDirError(
            f"{problem}: the bucket {bucket} does not exist; create it, or set the variable work_dir to another one, "
            "then clear the task"
        ) from error
    except BadRequest as error:
        raise WorkDirError(
            f"{problem}: Cloud Storage does not understand it ({error.code} {printable(error.message)}); correct the "
            "variable work_dir, then clear the task"
        ) from error
    except (Forbidden, Unauthorized) as error:
        raise WorkDirError(
            f"{problem}: Cloud Storage refuses it ({error.code} {printable(error.message)}); grant the account of the "
            f"connection google_cloud_default the role {_ROLE} on the bucket {bucket}, which the variable work_dir "
            "names, then clear the task"
        ) from error
    except GoogleAPIError as error:
        raise OSError(f"{problem}: {printable(str(error))}; clear the task when Cloud Storage answers") from error
