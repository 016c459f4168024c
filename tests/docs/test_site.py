"""The documentation site, as ``make site`` builds it."""

from __future__ import annotations

import os
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.full

README = """\
# A project

**Run it**: [a page](docs/page.md).

[a line](code.py#L2), [a folder](folder/), `[no link](nothing.md)`

![a picture](docs/picture.svg)
"""


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build a site of the pages in a folder with the command of ``make site``."""
    makefile = (REPOSITORY / "Makefile").read_text()
    [command] = re.findall(r"(?m)^SPHINX := (.+)$", makefile)
    program, *options = command.split()
    places = ["--conf-dir", REPOSITORY / "docs/site", "--doctree-dir", site.with_name("doctrees"), source, site]
    return subprocess.run(
        [REPOSITORY / program, *options, *places],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        check=False,
    )


class Page(HTMLParser):
    """The anchors of a page, and what it points at."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.targets: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := found.get(name))}
        self.targets |= {value for name in ("href", "src") if (value := found.get(name))}


def dead_links(site: Path) -> list[str]:
    """The links and pictures of a site's pages that lead nowhere."""
    pages = {path: Page(path) for path in site.rglob("*.html")}
    dead = []
    for path, page in pages.items():
        for target in page.targets:
            if re.match(r"[a-z]+:|//", target):
                continue
            name, _, anchor = target.partition("#")
            file = (path.parent / unquote(name.partition("?")[0])).resolve() if name else path
            anchors = pages[file].anchors if file in pages else set()
            if not file.is_file() or (anchor and unquote(anchor) not in anchors):
                dead.append(f"{path.relative_to(site)}: {target}")
    return dead


def test_the_site_has_every_page_and_no_dead_link(tmp_path: Path) -> None:
    done = build(REPOSITORY, tmp_path / "site")
    assert (done.returncode, done.stderr) == (0, "")
    pages = [*REPOSITORY.glob("docs/*.md"), *map(REPOSITORY.joinpath, ("README.md", "CHANGELOG.md", "CONTRIBUTING.md"))]
    for page in pages:
        assert (tmp_path / "site" / page.relative_to(REPOSITORY)).with_suffix(".html").exists(), page
    assert dead_links(tmp_path / "site") == []
    assert "wait_for_publication" in (tmp_path / "site/code/dags/web_to_gcs.py.html").read_text()


def make_pages(folder: Path, **pages: str) -> Path:
    for name, text in {"README.md": README, "code.py": "one = 1\ntwo = 2\n", "folder/x.py": "", **pages}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs/picture.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    return folder


def test_links_to_code_lead_to_its_lines_and_to_the_files_of_folders(tmp_path: Path) -> None:
    done = build(
        make_pages(tmp_path / "pages", **{"docs/page.md": "# A page\n\n[up](../README.md#a-project)\n"}),
        tmp_path / "site",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert dead_links(tmp_path / "site") == []
    index = Page(tmp_path / "site/index.html")
    assert {"code/code.py.html#L2", "code/folder.html", "docs/page.html"} <= index.targets
    assert "folder/x.py.html" in Page(tmp_path / "site/code/folder.html").targets


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[there](nothing.md)", "docs/nothing.md, which does not exist"),
        ("[here](#nowhere)", "nowhere"),
        ("[there](../README.md#nowhere)", "nowhere"),
        ("![gone](nothing.png)", "nothing.png"),
    ],
)
def test_what_leads_nowhere_fails_the_build(tmp_path: Path, text: str, complaint: str) -> None:
    done = build(make_pages(tmp_path / "pages", **{"docs/page.md": f"# A page\n\n{text}\n"}), tmp_path / "site")
    assert done.returncode != 0
    assert complaint in done.stderr
