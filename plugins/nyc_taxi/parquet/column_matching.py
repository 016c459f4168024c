"""Compares the columns that a file has with those that its dataset's contract asks for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.model import ContractError, Dataset
from nyc_taxi.registry.months import Month

_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


class Match(NamedTuple):
    """Where a file has the columns of its dataset.

    Attributes:
        places: for each of the dataset's ``source_columns`` its place in the file; None where the file lacks it.
        ignored: the names of the file's columns that the contract does not know.
    """

    places: tuple[int | None, ...]
    ignored: tuple[str, ...]


def match_columns(
    names: Sequence[str], dataset: Dataset, layout: Layout, month: Month | None, *, accept_unknown: bool
) -> Match:
    """Find the dataset's columns by their names and aliases, without regard to order, case and surrounding blanks.

    The columns that pandas makes of an index are no data: they are left out without a word.

    Args:
        names: the file's column names, in its order.
        dataset: the contract.
        layout: the layout of the file's source; it and ``month`` say which columns the file must have.
        month: the month whose file this is; None for a dataset without months.
        accept_unknown: leave out what the contract does not know, instead of refusing the file.

    Raises:
        ContractError: a column is missing, unknown or there twice.
    """
    known = _columns_by_key(dataset)
    found: dict[int, list[int]] = {}
    unknown: list[str] = []
    for place, name in enumerate(names):
        if (column := known.get(_key(name))) is not None:
            found.setdefault(column, []).append(place)
        elif not _PANDAS_INDEX.fullmatch(_key(name)):
            unknown.append(name)

    columns = list(enumerate(dataset.source_columns))
    missing = [column.name for at, column in columns if at not in found and column.is_required(layout, month)]
    repeated = [column.name for at, column in columns if len(found.get(at, [])) > 1]
    if missing or repeated or (unknown and not accept_unknown):
        problems = [
            f"{what}: {_listed(which)}"
            for what, which in (("missing", missing), ("unknown", unknown), ("repeated", repeated))
            if which
        ]
        if other := _whose(names, layout, month):
            problems.append(f"its columns are those of {other}")
        elif not missing and not repeated:
            problems.append("set the variable unknown_columns to ignore to leave them out")
        raise ContractError(f"it has other columns; {'; '.join(problems)}")
    return Match(tuple(found[at][0] if at in found else None for at, _ in columns), tuple(unknown))


def _key(name: str) -> str:
    """What is compared of a name."""
    return name.replace("\N{ZERO WIDTH NO-BREAK SPACE}", "").strip().lower()  # the byte order mark


def _columns_by_key(dataset: Dataset) -> dict[str, int]:
    return {
        _key(name): at for at, column in enumerate(dataset.source_columns) for name in (column.name, *column.aliases)
    }


def _whose(names: Iterable[str], layout: Layout, month: Month | None) -> str | None:
    """The dataset that has just these columns, if there is one."""
    keys = Counter(key for name in names if not _PANDAS_INDEX.fullmatch(key := _key(name)))
    for dataset in DATASETS.values():
        known = _columns_by_key(dataset)
        required = {at for at, column in enumerate(dataset.source_columns) if column.is_required(layout, month)}
        if keys.keys() <= known.keys() and required <= {known[key] for key in keys} and max(keys.values()) == 1:
            return dataset.name
    return None


def _listed(names: Sequence[str], *, most: int = 30) -> str:
    """The names for a message, which stays short whatever the file is."""
    shown = [_shown(name) for name in names[:most]]
    return ", ".join([*shown, f"and {len(names) - most} more"] if len(names) > most else shown)


def _shown(name: str, *, longest: int = 60) -> str:
    name = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name.strip())
    return (name if len(name) <= longest else f"{name[:longest]}...") or "(no name)"
