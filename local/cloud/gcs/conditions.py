"""Preconditions: whether an object has the generation that a request requires, and who may look and write meanwhile.

fake-gcs-server knows two of them, and those in some requests only. So the front decides on all of them, and passes none
on. Between its look at the object and the end of the request, no other request writes the object: each has its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from local.cloud.gcs.errors import RefusedError, no_such_object, not_met
from local.cloud.gcs.parameters import CONDITIONS, SOURCE_CONDITIONS
from local.cloud.gcs.request import number

Resource = Mapping[str, Any]


class Turns:
    """Gives each object to one request at a time."""

    def __init__(self) -> None:
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, names: Iterable[tuple[str, str]]) -> AsyncIterator[None]:
        """Hold the objects during the block."""
        async with AsyncExitStack() as stack:
            for name in sorted(set(names)):  # in one order, so that no two requests wait for one another
                await stack.enter_async_context(self._of_one(name))
            yield

    @asynccontextmanager
    async def _of_one(self, name: tuple[str, str]) -> AsyncIterator[None]:
        lock, users = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(name)
            if users > 1:
                self._locks[name] = lock, users - 1


def take_conditions(query: dict[str, str]) -> dict[str, int]:
    """Take the preconditions on the object, and the generation that is asked for, out of the parameters.

    Raises:
        RefusedError: one of them is not a number.
    """
    taken = {name: value for name in (*CONDITIONS, "generation") if (value := number(query, name)) is not None}
    for name in taken:
        del query[name]
    return taken


def take_source_conditions(query: dict[str, str]) -> dict[str, int]:
    """Take those on the source of a copy, under the same names as :func:`take_conditions`.

    Raises:
        RefusedError: one of them is not a number.
    """
    of_source = dict(zip((*SOURCE_CONDITIONS, "sourceGeneration"), (*CONDITIONS, "generation"), strict=True))
    return take_conditions({of_source[name]: query.pop(name) for name in of_source if name in query})


def check_conditions(
    where: tuple[str, str],
    found: Resource | None,
    conditions: Mapping[str, int],
    *,
    must_exist: bool,
    reads: bool = False,
) -> None:
    """Check an object.

    Args:
        where: its bucket and name.
        found: its resource; None if it does not exist.
        conditions: what :func:`take_conditions` returns.
        must_exist: whether the request needs the object.
        reads: whether it only reads it, so that what the client knows already need not be sent.

    Raises:
        RefusedError: 404 if it does not exist in the generation that is asked for, 304 if it need not be sent, 412 if a
            precondition does not hold.
    """
    generation = int(found["generation"]) if found else 0
    metageneration = int(found["metageneration"]) if found else 0
    asked = conditions.get("generation")
    if (found is None and (must_exist or asked)) or (asked and asked != generation):
        raise no_such_object(where)
    for name in CONDITIONS:
        if name not in conditions:
            continue
        actual = metageneration if "Meta" in name else generation
        if (conditions[name] == actual) == name.endswith("NotMatch"):
            raise _not_met(excludes=name.endswith("NotMatch"), reads=reads)


def has_entity_tags(headers: Mapping[str, str]) -> bool:
    """Return whether a request has preconditions for :func:`check_entity_tags`."""
    return "if-match" in headers or "if-none-match" in headers


def check_entity_tags(found: Resource | None, headers: Mapping[str, str], *, reads: bool) -> None:
    """Check the headers ``If-Match`` and ``If-None-Match``.

    Raises:
        RefusedError: as for :func:`check_conditions`.
    """
    for name, must in (("if-match", True), ("if-none-match", False)):
        tags = {tag.strip().removeprefix("W/").strip('"') for tag in headers.get(name, "").split(",") if tag.strip()}
        tag = found["etag"] if found else ""
        if tags and bool(tags & ({"*", tag} if found else set())) is not must:
            raise _not_met(excludes=not must, reads=reads)


def _not_met(*, excludes: bool, reads: bool) -> RefusedError:
    return RefusedError(304, "") if excludes and reads else not_met(excludes=excludes)
