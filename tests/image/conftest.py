"""The built images, and the record of when all of these tests last passed.

``make test-image`` runs them; no other command does. They need root, and docker or buildah, debootstrap and bubblewrap.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local.cloud.settings import REPOSITORY
from tests.image.images import NAMES, Builder, Image, builder

RECORD = REPOSITORY / "docs" / "image-test.json"
_FACTS = pytest.StashKey[dict[str, Any]]()


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that every user may enter, as Postgres does not run as root; pytest's own folders are closed."""
    made = Path(tempfile.mkdtemp(prefix="nyc-taxi-image.", dir="/var/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def facts(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the tests have measured, for the record."""
    return request.config.stash.setdefault(_FACTS, {})


@pytest.fixture(scope="session")
def built(folder: Path, facts: dict[str, Any]) -> Iterator[Builder]:
    """The builder, after it has built both images from what is committed and what is not."""
    with builder(folder) as made:
        made.build()
        facts["built_by"] = made.description()
        yield made


@pytest.fixture(scope="session")
def images(built: Builder, facts: dict[str, Any]) -> dict[str, Image]:
    """Both images, unpacked, by name."""
    unpacked = {name: built.unpack(name) for name in NAMES}
    facts["megabytes"] = {name: round(image.size() / 1e6) for name, image in unpacked.items()}
    return unpacked


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Record the commit, if all tests have passed on exactly what it has."""
    facts = session.config.stash.get(_FACTS, {})
    if exitstatus != 0 or "tasks" not in facts or _git("status", "--porcelain"):
        return
    record = {"passed_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "commit": _git("rev-parse", "HEAD"), **facts}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return done.stdout.strip()
