"""The corpus's outcome by area: printed, and written into ``docs/local-cloud.md``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.local.cloud.bigquery.corpus.verdicts import REFUSED, RIGHT, WRONG

PAGE = Path(__file__).resolve().parents[5] / "docs/local-cloud.md"
_SECTION = re.compile(r"(?s)(<!-- corpus -->\n).*?(<!-- end -->\n)")


def page(text: str, verdicts: Mapping[str, str]) -> str:
    """Return the page with its section written anew.

    Args:
        text: the page.
        verdicts: right, refused or wrong by the id of the case.
    """
    return _SECTION.sub(lambda match: match[1] + _section(verdicts) + match[2], text)


def table(verdicts: Mapping[str, str]) -> list[tuple[str, int, int, int]]:
    """Return the number of right, refused and wrong answers by area, and of all at the end."""
    counts = Counter((case.partition("/")[0], verdict) for case, verdict in verdicts.items())
    areas = sorted({area for area, _ in counts})
    rows = [(area, *(counts[area, verdict] for verdict in (RIGHT, REFUSED, WRONG))) for area in areas]
    return [*rows, ("all", *(sum(row[place] for row in rows) for place in (1, 2, 3)))]


def _section(verdicts: Mapping[str, str]) -> str:
    rows = table(verdicts)
    _, right, refused, wrong = rows[-1]
    share = 100 * refused / len(verdicts)
    return "\n".join(
        [
            f"Of {len(verdicts)} cases, {right} are answered as BigQuery does, {refused} ({share:.1f} %) are refused",
            f"with a message that names the limit, and {wrong} are answered wrongly.",
            "",
            "| area | right | refused | wrong |",
            "| --- | ---: | ---: | ---: |",
            *(f"| {' | '.join(map(str, row))} |" for row in rows),
            "",
        ]
    )
