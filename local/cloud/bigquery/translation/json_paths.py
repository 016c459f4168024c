"""JSONPath as BigQuery reads it: members and elements, without operators.

Source: "JSON functions", JSONPath format
(https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#JSONPath_format).
"""

from __future__ import annotations

import functools
import re

_TOKEN = re.compile(
    r"""\.(?P<name>[\w\-:\s]+)
    |\[\s*(?P<place>\d+)\s*\]
    |\."(?P<quoted>(?:[^\\"]|\\.)*)"
    |\[\s*'(?P<legacy>(?:[^\\']|\\.)*)'\s*\]""",
    re.VERBOSE | re.DOTALL,
)
_OPERATOR = re.compile(r"\*|\.\.|@")

Path = tuple[str | int, ...]
"""Names of members and positions of elements, from the root."""


@functools.lru_cache
def steps_of(path: str) -> Path:
    """Return the steps of a JSONPath.

    Raises:
        ValueError: it is none, in BigQuery's words.
    """
    if not path.startswith("$"):
        raise ValueError("JSONPath must start with '$'")
    steps: list[str | int] = []
    rest = path[1:]
    while token := _TOKEN.match(rest):
        rest = rest[token.end() :]
        if token["place"] is not None:
            steps.append(int(token["place"]))
        elif token["name"] is not None:
            steps.append(token["name"])
        else:
            quote = '"' if token["quoted"] is not None else "'"
            steps.append((token["quoted"] or token["legacy"] or "").replace(f"\\{quote}", quote))
    if operator := _OPERATOR.search(rest):
        raise ValueError(f"Unsupported operator in JSONPath: {operator[0]}")
    if rest:
        raise ValueError(f"Invalid token in JSONPath at: {rest}")
    return tuple(steps)


def path_to(names: tuple[str, ...]) -> str:
    """Return the keys of nested members with dots between them, those with other characters in quotes."""
    return ".".join(name if re.fullmatch(r"\w+", name) else '"' + name.replace('"', '\\"') + '"' for name in names)
