"""Matches the columns of a file with those of its dataset's contract."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nyc_taxi.common.text import printable
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.model import ContractError, Dataset
from nyc_taxi.registry.months import Month

_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


class Match(NamedTuple):
    """The positions of a dataset's columns in a file.

    Attributes:
        places: for each of the dataset's ``source_columns``, its index in the file; None if the file lacks it.
        ignored: the names of the file's columns that are not in the contract.
    """

    places: tuple[int | None, ...]
    ignored: tuple[str, ...]


def match_columns(
    names: Sequence[str], dataset: Dataset, layout: Layout, month: Month | None, *, accept_unknown: bool
) -> Match:
    """Find the dataset's columns by name or alias, in any order, ignoring case and surrounding whitespace.

    Columns that pandas wrote for an index are not data, so they are left out silently.

    Args:
        names: the file's column names, in order.
        dataset: the contract.
        layout: the layout of the file's source; with ``month``, it decides which columns are required.
        month: the month of the file; None for a dataset without months.
        accept_unknown: whether to leave out unknown columns instead of refusing the file.

    Raises:
        ContractError: a column is missing, unknown or repeated, or the columns are exactly those of another dataset.
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
    differs = bool(missing or repeated or unknown)
    other = _matching_dataset(names, layout, month) if differs else None
    # Even if unknown columns are left out, another dataset's rows must not become this dataset's.
    if missing or repeated or (unknown and (other or not accept_unknown)):
        problems = _problems(missing=missing, unknown=unknown, repeated=repeated)
        if other:
            problems.append(f"its columns are those of {' or '.join([other, *_gap_months(names, dataset, layout)])}")
        elif not missing and not repeated:
            problems.append("set the variable unknown_columns to ignore to leave them out")
        raise ContractError(f"its columns differ from the contract; {'; '.join(problems)}")
    return Match(tuple(found[at][0] if at in found else None for at, _ in columns), tuple(unknown))


def _problems(**names: Sequence[str]) -> list[str]:
    return [f"{problem}: {_listed(which)}" for problem, which in names.items() if which]


def _key(name: str) -> str:
    """Return the form of a name that is compared."""
    return name.replace("\N{ZERO WIDTH NO-BREAK SPACE}", "").strip().lower()  # the byte order mark


def _columns_by_key(dataset: Dataset) -> dict[str, int]:
    return {
        _key(name): at for at, column in enumerate(dataset.source_columns) for name in (column.name, *column.aliases)
    }


def _matching_dataset(names: Iterable[str], layout: Layout, month: Month | None) -> str | None:
    """Return the name of the dataset whose contract these columns match; None if there is none."""
    return next((each.name for each in DATASETS.values() if _matches(names, each, layout, month)), None)


def _matches(names: Iterable[str], dataset: Dataset, layout: Layout, month: Month | None) -> bool:
    keys = Counter(key for name in names if not _PANDAS_INDEX.fullmatch(key := _key(name)))
    known = _columns_by_key(dataset)
    required = {at for at, column in enumerate(dataset.source_columns) if column.is_required(layout, month)}
    return keys.keys() <= known.keys() and required <= {known[key] for key in keys} and max(keys.values()) == 1


def _gap_months(names: Sequence[str], dataset: Dataset, layout: Layout) -> list[str]:
    """Return the spans of months in which this dataset's own files may have these columns, such as ``fhvhv 2021-06``.

    Without them, the message would take a file for another dataset's although it may be this one's.
    """
    gaps = dict.fromkeys(gap for column in dataset.source_columns for gap in column.gaps)
    return [f"{dataset.name} {gap}" for gap in gaps if _matches(names, dataset, layout, gap.first)]


def _listed(names: Sequence[str], *, most: int = 30) -> str:
    """Return the names as text, limited in number and length to keep messages short."""
    shown = [_shown(name) for name in names[:most]]
    return ", ".join([*shown, f"and {len(names) - most} more"] if len(names) > most else shown)


def _shown(name: str, *, longest: int = 60) -> str:
    return printable(name.strip(), longest=longest) or "(no name)"
