"""Runs the corpus and writes its outcome: ``python -m tests.local.cloud.bigquery.corpus``.

It prints right, refused and wrong by area, and each case that is not right with the reason. It brings ``refused.txt``
up to date, removes from ``known_wrong.txt`` what is no longer wrong, and writes the section of ``docs/local-cloud.md``.
With names, such as ``weeks`` or ``weeks/date_trunc_week``, it runs those cases only.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.cloud.settings import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "plugins"))

from tests.local.cloud.bigquery.conftest import Server
from tests.local.cloud.bigquery.corpus.case_file import cases
from tests.local.cloud.bigquery.corpus.page import PAGE, page, table
from tests.local.cloud.bigquery.corpus.running import Judge, Outcome
from tests.local.cloud.bigquery.corpus.verdicts import RIGHT, listed, update


def main(names: Sequence[str]) -> int:
    """Run the cases that ``names`` select, or all, and report."""
    wanted = [case for case in cases() if not names or case.id in names or case.area in names]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder=Path(folder))
        server.start()
        try:
            outcomes = Judge(server).judge_all(wanted)
        finally:
            server.stop()
    report(outcomes)
    update(verdicts(outcomes))
    PAGE.write_text(page(PAGE.read_text(), listed(cases())))
    return 0


def report(outcomes: Mapping[str, Outcome]) -> None:
    """Print the cases that are not right, and the table."""
    for case, outcome in outcomes.items():
        if outcome.verdict != RIGHT:
            print(f"{outcome.verdict} {case}: {outcome.reason}")
    print(f"\n{'area':20}{'right':>8}{'refused':>8}{'wrong':>8}")
    for area, *counts in table(verdicts(outcomes)):
        print(f"{area:20}" + "".join(f"{count:8}" for count in counts))


def verdicts(outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    return {case: outcome.verdict for case, outcome in outcomes.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
