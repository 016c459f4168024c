"""Errors for what the embedded BigQuery does not support: HTTP 400, in one wording.

No option is ignored silently. Each request type lists the options that it supports; any other option that has a value
is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from bqemulator.domain.errors import DomainError, NotFoundError, UnsupportedFeatureError, ValidationError

from local.cloud import disk

_LABEL = re.compile(r"[\w-]{0,63}")
# The last is how clients say that a column has no policy tags.
_NO_VALUE: tuple[Any, ...] = (None, "", False, [], {}, {"names": []})


class NoRoomError(DomainError):
    """The disk of the database is full. Clients do not repeat jobs that fail for this reason."""

    http_status = 400
    bq_reason = "resourcesExceeded"


def limit(what: str) -> ValidationError:
    """Return the error for something that BigQuery supports and this emulator does not.

    Args:
        what: completes the sentence "the embedded BigQuery does not ...".
    """
    return ValidationError(f"the embedded BigQuery does not {what}")


def invalid(message: str) -> ValidationError:
    """Return the error for a request that BigQuery would refuse too (reason ``invalid``, HTTP 400)."""
    return ValidationError(message)


def no_room(error: BaseException) -> DomainError | None:
    """Return what clients are told if ``error``, which is DuckDB's or quotes it, is about a full disk; else None."""
    folder = disk.full_folder(str(error))
    return NoRoomError(disk.advice("BigQuery", folder)) if folder else None


def not_found(kind: str, name: str) -> NotFoundError:
    """Return the error for a missing resource in BigQuery's wording, such as ``Not found: Table p:d.t``."""
    return NotFoundError(f"Not found: {kind} {name}")


def from_unsupported(error: UnsupportedFeatureError) -> ValidationError:
    """Convert bqemulator's HTTP 501 to the 400 that names the limit."""
    return limit(f"support this: {error.message}")


def check_texts(what: str, body: Mapping[str, Any]) -> None:
    """Check the description, the friendly name and the labels in a resource.

    Source: "Requirements for labels" (https://cloud.google.com/bigquery/docs/labels-intro#requirements).

    Raises:
        ValidationError: one of them is no text, or a label has other characters than labels may have.
    """
    for name in ("description", "friendlyName"):
        if not isinstance(body.get(name), str | None):
            raise invalid(f"Invalid value for {what}.{name}: it is not a string")
    labels = body.get("labels") or {}
    if not isinstance(labels, Mapping):
        raise invalid(f"Invalid value for {what}.labels: it is not an object")
    for key, value in labels.items():
        if not isinstance(value, str | None):
            raise invalid(f"Invalid value for {what}.labels.{key[:63]}: it is not a string")
        if not key[:1].isalpha() or any(one != one.lower() or not _LABEL.fullmatch(one) for one in (key, value or "")):
            raise invalid(
                f"Invalid label {key[:70]!r}: {(value or '')[:70]!r}. Keys begin with a lowercase letter; keys and "
                "values have at most 63 lowercase letters, digits, underscores and dashes"
            )


def refuse_other_options(where: str, given: Mapping[str, Any], known: Collection[str]) -> None:
    """Check that all options of ``given`` that have a value are in ``known``.

    Args:
        where: the path of ``given`` in the request, for the message.
        given: a part of the request body.
        known: the names of the supported options.

    Raises:
        ValidationError: one is not; the message names the first.
    """
    for name, value in given.items():
        if name not in known and value not in _NO_VALUE:
            raise limit(f"implement {where}.{name}; leave it out")
