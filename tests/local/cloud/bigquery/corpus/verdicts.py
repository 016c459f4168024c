"""The verdicts on the cases: ``refused.txt`` and ``known_wrong.txt`` list what is not right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.local.cloud.bigquery.corpus.case_file import Case

RIGHT, REFUSED, WRONG = "right", "refused", "wrong"
LISTS = {REFUSED: Path(__file__).parent / "refused.txt", WRONG: Path(__file__).parent / "known_wrong.txt"}


def listed(cases: Iterable[Case]) -> dict[str, str]:
    """Return the listed verdicts by the ids of the cases."""
    lists = {verdict: _read(path) for verdict, path in LISTS.items()}
    return {case.id: next((verdict for verdict, ids in lists.items() if case.id in ids), RIGHT) for case in cases}


def update(found: Mapping[str, str]) -> None:
    """Bring the lists up to date with the verdicts ``found``. A new wrong answer is not listed: it is to be mended."""
    for verdict, path in LISTS.items():
        before = _read(path)
        now = {case for case in before if found.get(case, verdict) == verdict}
        if verdict == REFUSED:
            now |= {case for case, one in found.items() if one == REFUSED}
        path.write_text("".join(f"{case}\n" for case in sorted(now)))


def unknown(cases: Iterable[Case]) -> set[str]:
    """Return the ids in the lists that are no case's."""
    return set().union(*map(_read, LISTS.values())) - {case.id for case in cases}


def _read(path: Path) -> set[str]:
    return set(path.read_text().split()) if path.exists() else set()
