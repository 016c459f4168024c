"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; when the block ends well, it becomes ``target`` in one step.

    When the block raises, the temporary file is removed and ``target`` stays what it was. Writers of the same target
    that overlap cannot mix their bytes: each has a temporary file of its own, and the last one to finish wins.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
