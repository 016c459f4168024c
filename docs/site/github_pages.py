"""Sphinx extension: makes a site of pages that are written for GitHub.

- The navigation is README's own list of pages, under *Folders and pages*.
- Links to code lead to pages of the site that show the file with line numbers, or the folder.
- ``index.html`` is README.
"""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from pygments.lexers.special import TextLexer
from pygments.util import ClassNotFound
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

# Code is skipped: what looks like a link there is none.
_CODE_OR_LINK = re.compile(
    r"(?ms)^ *```.*?^ *```$|(?P<before>\[(?:[^\[\]]|\[[^\]]*\])*\]\()(?P<target>[^)\s]+)(?P<after>\))|`[^`\n]+`"
)
_REFERENCE = re.compile(r"(?m)^(?P<before>\[[^\]]+\]: )(?P<target>\S+)(?P<after>)$")
# README: **Run it**: [deployment](docs/deploy.md), ...
_GROUP = re.compile(r"(?ms)^\*\*([^*\n]+)\*\*: (.+?)(?=^\*\*|\n\n)")
_LINES = re.compile(r"L\d+(-L\d+)?")
_PAGE = re.compile(r"\]\(([\w/.-]+)\.md\)")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension to Sphinx."""
    app.connect("source-read", _mark_links_to_code)
    app.connect("source-read", _add_navigation)
    app.connect("doctree-resolved", _link_code)
    app.connect("html-collect-pages", _code_pages)
    app.connect("build-finished", _add_index)
    return {"parallel_read_safe": True, "parallel_write_safe": False}


# Links to code


def _mark_links_to_code(app: Sphinx, docname: str, source: list[str]) -> None:
    """Give links to what is no page the scheme ``code:`` and the path from the repository's root."""
    folder = (Path(app.srcdir) / docname).parent

    def mark(match: re.Match[str]) -> str:
        target = match["target"]
        if target is None or ":" in target or target.startswith("#"):
            return match[0]
        path, hash_sign, anchor = target.partition("#")
        file = (folder / path).resolve()
        # A link to a line of a page means its text, not what is made of it.
        is_page = app.project.path2doc(str(file)) in app.project.docnames and not _LINES.fullmatch(anchor)
        is_picture = match["before"].startswith("[") and match.string[match.start() - 1 : match.start()] == "!"
        if is_page or is_picture or not file.is_relative_to(app.srcdir):
            return match[0]
        return f"{match['before']}code:{file.relative_to(app.srcdir).as_posix()}{hash_sign}{anchor}{match['after']}"

    source[0] = _REFERENCE.sub(mark, _CODE_OR_LINK.sub(mark, source[0]))


def _link_code(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for link in doctree.findall(nodes.reference):
        if not link.get("refuri", "").startswith("code:"):
            continue
        path, _, anchor = link["refuri"].removeprefix("code:").partition("#")
        if not (Path(app.srcdir) / path).exists():
            logger.warning("link to %s, which does not exist", path, location=link)
            continue
        _linked(app).add(path)
        # #L12-L15 marks lines on GitHub; here the page is scrolled to the first of them.
        fragment = f"#{anchor.partition('-')[0]}" if anchor else ""
        link["refuri"] = app.builder.get_relative_uri(docname, f"code/{path}") + fragment


def _linked(app: Sphinx) -> set[str]:
    """The files and folders that pages link to."""
    found: set[str] = app.env.__dict__.setdefault("linked_code", set())
    return found


def _code_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    root = Path(app.srcdir)
    folders = {path for path in _linked(app) if (root / path).is_dir()}
    inside = {file.relative_to(root).as_posix() for folder in folders for file in _files(root / folder)}
    for path in sorted(folders):
        names = [file.name for file in _files(root / path)]
        items = "".join(f'<li><a href="{Path(path).name}/{name}.html">{html.escape(name)}</a></li>' for name in names)
        yield f"code/{path}", {"title": path, "body": f"<h1>{html.escape(path)}</h1><ul>{items}</ul>"}, "page.html"
    for path in sorted(inside | _linked(app) - folders):
        yield f"code/{path}", {"title": path, "body": _code(root / path, path)}, "page.html"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix not in (".pyc", ".lock"))


def _code(file: Path, title: str) -> str:
    """The file as HTML, with an anchor for each line: L1, L2, ..."""
    text = file.read_text(encoding="utf-8")
    try:
        lexer = get_lexer_for_filename(file.name, stripnl=False)
    except ClassNotFound:
        lexer = TextLexer(stripnl=False)
    formatter = HtmlFormatter(linenos="inline", lineanchors="L", wrapcode=True)
    shown = highlight(text, lexer, formatter).replace('id="L-', 'id="L').replace('name="L-', 'name="L')
    return f"<h1>{html.escape(title)}</h1>{shown}"


# Navigation


def _add_navigation(app: Sphinx, docname: str, source: list[str]) -> None:
    """Add README's groups of pages as the site's navigation; pages that only other pages link to come last."""
    if docname != app.config.root_doc:
        return
    groups = {name: _PAGE.findall(pages) for name, pages in _GROUP.findall(source[0])}
    named = {page for pages in groups.values() for page in pages}
    groups["Details"] = sorted(app.project.docnames - named - {docname})
    for name, pages in groups.items():
        lines = "\n".join(pages)
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {name}\n\n{lines}\n```\n"


def _add_index(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        shutil.copyfile(Path(app.outdir) / f"{app.config.root_doc}.html", Path(app.outdir) / "index.html")
