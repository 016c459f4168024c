"""Enforces the precondition ``ifGenerationMatch`` of resumable uploads, which fake-gcs-server takes and ignores.

The front looks at the object's generation before each part of such an upload. The last look and the end of the upload
are one step for uploads with the precondition; an upload without one can come between them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

# Uploads that never end are forgotten, the oldest first.
_MAX_SESSIONS = 1000


class PreconditionFailedError(Exception):
    """The object's generation is not the one that the upload requires."""


def id_of_upload(path: str, query: str) -> str:
    """Return the id of the upload that a URL continues."""
    return parse_qs(query).get("upload_id", [path.rpartition("/")[2]])[0]


@dataclass
class _Session:
    bucket: str
    name: str
    generation: int


@dataclass
class Preconditions:
    """The preconditions of the resumable uploads that have begun.

    Attributes:
        generation: returns the generation of an object, given its bucket and name; 0 if it does not exist.
    """

    generation: Callable[[str, str], Awaitable[int]]
    _sessions: OrderedDict[str, _Session] = field(default_factory=OrderedDict)
    _ending: asyncio.Lock = field(default_factory=asyncio.Lock)

    def begin(self, query: Mapping[str, str], bucket: str, name: str, location: str) -> None:
        """Remember the precondition of an upload that has begun.

        Args:
            query: the parameters of the request that began it.
            bucket: the bucket.
            name: the object's name.
            location: where the answer says that the upload goes on.
        """
        if "ifGenerationMatch" not in query:
            return
        self._sessions[id_of_upload(*urlsplit(location)[2:4])] = _Session(bucket, name, int(query["ifGenerationMatch"]))
        while len(self._sessions) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)

    def holds(self, upload_id: str) -> bool:
        """Return whether the upload has a precondition."""
        return upload_id in self._sessions

    @asynccontextmanager
    async def met(self, upload_id: str) -> AsyncIterator[None]:
        """Pass on a part of an upload within the block; no other upload with a precondition ends meanwhile.

        Raises:
            PreconditionFailedError: the object has another generation than the upload requires.
        """
        session = self._sessions[upload_id]
        async with self._ending:
            found = await self.generation(session.bucket, session.name)
            if found != session.generation:
                raise PreconditionFailedError(
                    f"{session.name} has the generation {found}, and ifGenerationMatch is {session.generation}; look "
                    "at the object again"
                )
            yield
