"""Atomic file writes: a file appears whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``target``, and rename it to ``target`` when the block succeeds.

    If the block raises, the temporary file is removed and ``target`` is unchanged. Concurrent writers of one target
    cannot mix their bytes: each writes its own temporary file, and the last to finish wins.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
