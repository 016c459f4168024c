"""Writes the tables of ``docs/security.md``, each promise with the tests that attack it.

Run it with ``python -m tests.attacks.page``.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.attacks.promises import PROMISES

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs/security.md"
_TABLE = re.compile(r"(?s)<!-- promises: ([a-z-]+) -->\n.*?<!-- end -->\n")


def attacks() -> dict[str, dict[str, list[str]]]:
    """Return the tests by promise and by file; a file that attacks it as a whole has no names."""
    found: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for path in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        for promise, name in _marks(ast.parse(path.read_text())):
            names = found[promise].setdefault(path.relative_to(REPOSITORY).as_posix(), [])
            names += [name] if name else []
    return found


def page(text: str) -> str:
    """Return the page with its tables written anew."""
    found = attacks()
    return _TABLE.sub(lambda match: _table(match[1], found), text)


def _table(threat: str, found: dict[str, dict[str, list[str]]]) -> str:
    rows = [f"| {sentence} | {_tests(found[promise])} |" for promise, sentence in PROMISES[threat].items()]
    return "\n".join(
        [f"<!-- promises: {threat} -->", "| promise | tests |", "| --- | --- |", *rows, "<!-- end -->", ""]
    )


def _tests(files: dict[str, list[str]]) -> str:
    return "; ".join(
        f"[{file.removeprefix('tests/')}](../{file})" + (f" `{'`, `'.join(names)}`" if names else "")
        for file, names in files.items()
    )


def _marks(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the promise and the name of each test that is marked, without a name for a mark of the module."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            yield from ((promise, "") for promise in _promises(node.value))
        elif isinstance(node, ast.FunctionDef):
            yield from ((promise, node.name) for mark in node.decorator_list for promise in _promises(mark))


def _promises(node: ast.expr) -> Iterator[str]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "attack":
            yield ast.literal_eval(call.args[0])


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
