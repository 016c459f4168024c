"""What the emulated BigQuery does not do is refused here, with one wording, as HTTP 400.

An option that is not known to work is never dropped silently: requests name the options they may carry, and every other
option that has a value is refused by name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bqemulator.domain.errors import NotFoundError, UnsupportedFeatureError, ValidationError

_NO_VALUE: tuple[Any, ...] = (None, "", False, [], {})


def limit(what: str) -> ValidationError:
    """The error for something that BigQuery does and this emulation does not.

    Args:
        what: completes the sentence "the embedded BigQuery does not ...".
    """
    return ValidationError(f"the embedded BigQuery does not {what}")


def invalid(message: str) -> ValidationError:
    """The error for a request that BigQuery, too, would refuse (reason ``invalid``, HTTP 400)."""
    return ValidationError(message)


def not_found(kind: str, name: str) -> NotFoundError:
    """BigQuery's own wording for a missing resource, such as ``Not found: Table p:d.t``."""
    return NotFoundError(f"Not found: {kind} {name}")


def from_unsupported(error: UnsupportedFeatureError) -> ValidationError:
    """Turn bqemulator's HTTP 501 into the 400 that names the limit."""
    return limit(f"support this: {error.message}")


def refuse_other_options(where: str, given: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse every option of ``given`` that has a value and is not in ``known``.

    Args:
        where: the path of ``given`` in the request, for the message.
        given: a part of the request body.
        known: the names that are implemented.

    Raises:
        ValidationError: naming the first such option.
    """
    for name, value in given.items():
        if name not in known and value not in _NO_VALUE:
            raise limit(f"implement {where}.{name}; leave it out")
