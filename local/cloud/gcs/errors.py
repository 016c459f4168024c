"""Refusals, in the form and, where Cloud Storage refuses too, in the words of Cloud Storage.

The form is that of https://cloud.google.com/storage/docs/json_api/v1/status-codes.
"""

from __future__ import annotations

import json

NO_BUCKET = "The specified bucket does not exist."
OWN_BUCKET = "Your previous request to create the named bucket succeeded and you already own it."
NOT_EMPTY = "The bucket you tried to delete is not empty."
_NOT_MET = "At least one of the pre-conditions you specified did not hold."
_REASONS = {400: "invalid", 404: "notFound", 409: "conflict", 412: "conditionNotMet"}


class RefusedError(Exception):
    """A request is refused with a status and a message.

    Args:
        status: the HTTP status.
        message: what is wrong.
        location: the header that decided, if one did.
    """

    def __init__(self, status: int, message: str, *, location: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.location = location

    def body(self) -> bytes:
        """Return the answer's body."""
        reason = _REASONS.get(self.status, "invalid" if self.status < 500 else "backendError")
        error = {"message": str(self), "domain": "global", "reason": reason}
        if self.location:
            error |= {"locationType": "header", "location": self.location}
        return json.dumps({"error": {"code": self.status, "message": str(self), "errors": [error]}}).encode() + b"\n"


def no_such_object(where: tuple[str, str]) -> RefusedError:
    """Return the refusal of a request for an object, given as bucket and name, that does not exist."""
    return RefusedError(404, f"No such object: {'/'.join(where)}")


def not_met(*, excludes: bool) -> RefusedError:
    """Return the refusal of a request whose precondition does not hold; ``excludes`` one that must not match."""
    return RefusedError(412, _NOT_MET, location="If-None-Match" if excludes else "If-Match")
