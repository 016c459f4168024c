"""The pictures of the pages: small, without a trace of the machine that they were taken on, and all of use."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURES = sorted((REPOSITORY / "docs/images").iterdir())
PAGES = [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_small_and_nothing_but_a_picture(path: Path) -> None:
    assert path.suffix == ".png"
    assert path.stat().st_size < 150_000
    with Image.open(path) as picture:
        assert picture.mode == "P"
        # No text, such as a path or the name of a program.
        assert picture.info.keys() <= {"transparency"}


def test_every_picture_is_shown_on_a_page() -> None:
    shown = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [path.name for path in PICTURES if f"images/{path.name})" not in shown] == []
