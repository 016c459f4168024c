"""A hash of the code behind each check, kept with its result: a result older than its check is no result.

The hash covers the check's function and whatever it names in this folder, directly or not: helpers and methods of its
side, flows, example DAGs by their ids, deployments by their names, what the programs name that it runs as text, and the
definition that its concept links to, also in the pipeline; of other files the linked line. Comments, docstrings and
formatting do not count. Other changes of the pipeline are the business of its own tests. A result of another version of
the orchestrator than the locked one is no result either.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from comparison.concepts import CONCEPTS, Lines
from comparison.results import ORCHESTRATORS, SIDES, Results
from local.cloud.settings import REPOSITORY

_ROOT = REPOSITORY / "comparison"
_HASHED = ("comparison", "dags", "plugins")  # the folders whose linked definitions count
_EXAMPLES = {"airflow": _ROOT / "airflow_dags", "prefect": _ROOT / "prefect_flows"}
_Definition = tuple[Path, str]


def fingerprint(side: str, concept: str) -> str:
    """The hash of the code behind a check.

    Raises:
        KeyError: the side has no check of the concept.
    """
    found: dict[_Definition, str] = {}
    deployments: dict[str, str] = {}
    waiting = [_checks(side)[concept], *_linked(side, concept)]
    while waiting:
        path, name = waiting.pop()
        if (path, name) in found:
            continue
        statement = _module(path).definitions[name]
        found[path, name] = _code(statement)
        waiting += _module(path).named(statement, side)
        deployments |= _deployments(statement) if side == "prefect" else {}
    parts = [f"{os.path.relpath(path, _ROOT)} {name}\n{code}" for (path, name), code in sorted(found.items())]
    parts += [*map(str, sorted(deployments.items())), *_linked_line(side, concept)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def stale(results: Results) -> list[str]:
    """The checks whose code or orchestrator has changed since their kept result, as ``side concept``."""
    return [
        f"{side} {name}"
        for side, of_side in results.checks.items()
        for name, result in of_side.items()
        if result.code != fingerprint(side, name) or result.version != _locked(side)
    ]


@cache
def _locked(side: str) -> str:
    """The version of a side's orchestrator in its lock."""
    lock = {"airflow": REPOSITORY / "uv.lock", "prefect": _ROOT / "uv.lock"}[side]
    packages = tomllib.loads(lock.read_text(encoding="utf-8"))["package"]
    [found] = [str(each["version"]) for each in packages if each["name"] == ORCHESTRATORS[side]]
    return found


class _Module:
    """A source file: its definitions at top level, and what its names stand for in other files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read(ast.parse(path.read_text(encoding="utf-8")))

    def _read(self, tree: ast.Module) -> None:
        self.definitions = {name: statement for statement in tree.body for name in _names(statement)}
        for each in tree.body:
            if isinstance(each, ast.ClassDef):
                self.definitions |= {f"{each.name}.{name}": part for part in each.body for name in _names(part)}
        self.modules: dict[str, Path] = {}
        self.members: dict[str, _Definition] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("comparison"):
                for alias in node.names:
                    self._take(alias.asname or alias.name, node.module or "", alias.name)

    def _take(self, name: str, module: str, member: str) -> None:
        if inner := _file(f"{module}.{member}"):
            self.modules[name] = inner
        elif outer := _file(module):
            self.members[name] = (outer, member)

    def named(self, statement: ast.stmt, side: str) -> Iterator[_Definition]:
        """The definitions that a statement names."""
        for node in ast.walk(statement):
            found: _Definition | None = None
            if isinstance(node, ast.Name):
                found = (self.path, node.id) if node.id in self.definitions else self.members.get(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                name = node.value.id
                found = (self.modules[name], node.attr) if name in self.modules else _method(name, node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from _examples(side).get(node.value.partition("/")[0].replace("-", "_"), ())
                yield from _program(node.value, side)
            if found and _counts(*found):
                yield found


class _Program(_Module):
    """A program that a check runs as text."""

    def __init__(self, text: str) -> None:
        self.path = Path()
        self.tree = ast.parse(text)
        self._read(self.tree)
        self.definitions = {}  # its own are part of the text


def _program(text: str, side: str) -> Iterator[_Definition]:
    """The definitions of this folder that a program names; none if the text is no program that imports from here."""
    if "from comparison." not in text or "\n" not in text:
        return
    program = _Program(text)
    for statement in program.tree.body:
        yield from program.named(statement, side)


def _counts(path: Path, name: str) -> bool:
    """Whether a definition belongs to a check: not what all checks share, such as the running side."""
    statement = _module(path).definitions.get(name)
    return statement is not None and name not in _SHARED


_SHARED = frozenset(
    {
        *("CHECKS", "check", "Airflow", "Prefect", "Finding", "BuiltIn", "WithCode", "NotPossible", "NotRun"),
        *("await_", "SECONDS", "Ground", "REPOSITORY", "posts", "Side", "SideError"),
    }
)


@cache
def _module(path: Path) -> _Module:
    return _Module(path)


@cache
def _file(module: str) -> Path | None:
    """The file of a module of this folder."""
    path = REPOSITORY.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return path if path.is_relative_to(_ROOT) and path.exists() else None


@cache
def _checks(side: str) -> dict[str, _Definition]:
    """The checks of a side by concept."""
    found = {}
    for path in sorted((_ROOT / "checks" / side).glob("*.py")):
        for name, statement in _module(path).definitions.items():
            for decorator in getattr(statement, "decorator_list", []):
                if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "check":
                    found[ast.literal_eval(decorator.args[0])] = (path, name)
    return found


@cache
def _examples(side: str) -> dict[str, list[_Definition]]:
    """The DAGs or flows of a side by their function's name."""
    found: dict[str, list[_Definition]] = {}
    for path in sorted(_EXAMPLES[side].glob("*.py")):
        for name, statement in _module(path).definitions.items():
            decorators = [ast.unparse(each) for each in getattr(statement, "decorator_list", [])]
            if any(each.partition("(")[0] in ("dag", "flow") for each in decorators):
                found.setdefault(name, []).append((path, name))
    return found


def _method(side: str, name: str) -> _Definition | None:
    """The method that a check calls of the running side, which it gets by the side's name."""
    return (_ROOT / "checks" / side / "side.py", f"{side.title()}.{name}") if side in SIDES else None


def _link(side: str, concept: str) -> Lines:
    """What a concept links to."""
    [lines] = [getattr(each, side) for each in CONCEPTS if each.name == concept]
    return lines


def _has_definitions(lines: Lines) -> bool:
    """Whether the definition counts that holds the linked line."""
    return lines.path.endswith(".py") and lines.path.partition("/")[0] in _HASHED


def _linked_line(side: str, concept: str) -> list[str]:
    """The line to which a concept links, if that is in no definition that counts."""
    lines = _link(side, concept)
    if _has_definitions(lines):
        return []
    return [(REPOSITORY / lines.path).read_text(encoding="utf-8").splitlines()[lines.number() - 1].strip()]


def _linked(side: str, concept: str) -> Iterator[_Definition]:
    """The definition that holds the line to which a concept links."""
    lines = _link(side, concept)
    path = REPOSITORY / lines.path
    if not _has_definitions(lines):
        return
    number = lines.number()
    around = {
        name: (statement.end_lineno or 0) - _first_line(statement)
        for name, statement in _module(path).definitions.items()
        if _first_line(statement) <= number <= (statement.end_lineno or 0)
    }
    if around:  # of a class only the method
        yield path, min(around, key=lambda name: around[name])


def _first_line(statement: ast.stmt) -> int:
    return min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", []))])


def _deployments(statement: ast.stmt) -> dict[str, str]:
    """The deployments that a statement names."""
    texts = {
        node.value for node in ast.walk(statement) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {name: deployment for name, deployment in _all_deployments().items() if name in texts}


@cache
def _all_deployments() -> dict[str, str]:
    """Each deployment of the flows as text, by ``flow/deployment``."""
    found = {}
    for path in sorted(_EXAMPLES["prefect"].glob("*.yaml")):
        deployments: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["deployments"]
        for each in deployments:
            flow = each["entrypoint"].rpartition(":")[2].replace("_", "-")
            found[f"{flow}/{each['name']}"] = json.dumps(each, sort_keys=True, default=str)
    return found


def _names(statement: ast.stmt) -> list[str]:
    """The names that a statement at top level defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [node.id for target in targets if target for node in ast.walk(target) if isinstance(node, ast.Name)]


def _code(node: Any) -> str:
    """The code of a statement, without comments, docstrings and formatting; the same in all versions of Python."""
    if isinstance(node, list):
        return f"[{', '.join(map(_code, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
        fields["body"] = node.body[1:]
    kept = (f"{name}={_code(value)}" for name, value in fields.items() if value not in (None, []) and name != "ctx")
    return f"{type(node).__name__}({', '.join(kept)})"
