"""Writes docs/reliability.md from the declared cases: ``python -m tests.faults.page``."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from local.cloud.settings import REPOSITORY

PAGE = REPOSITORY / "docs" / "reliability.md"
HEAD = """\
# Reliability

What is promised when something breaks. Each line of the tables is a test: it causes the fault at that step, waits for
the recovery, and checks the result. The page is written from the declarations of these tests by `make docs`; a test
fails if it is out of date.

Three promises hold under every fault on this page, but for the limits below:

1. **Whole.** Each store has a month's old content or its new one, never a part of either, and nothing twice. Other
   months do not change. The tests compare content hashes, which each store computes itself.
2. **Clean.** No staging table, object, file, session or process is left over when the run has ended. If nothing could
   clean up, because the run has timed out or a task was killed in its last try, the next start does.
3. **Explained and repeatable.** The run succeeds, or fails with its cause in the log. The next ordinary start loads
   what failed, and skips what was loaded. Nobody has to clean up first.

The reason behind them is in [design.md](design.md): every effect is keyed by its month, and the last step of each load
is one atomic statement. What to do when a run fails is in [operations.md](operations.md).

How it is tested: a task's real code runs in a process of its own, by Airflow's own task runner, against the
[embedded cloud](local-cloud.md). A proxy between the task and one server delays, cuts, refuses or changes what passes.
Full disks and memory cgroups are small ones, which the tests make; where a machine does not allow that, their cases are
skipped and say why. The cases of the whole stack run under the real scheduler: tasks are held at every step of every
DAG while components are killed in turn, and the local stack's watcher restarts what died. `make soak` makes 200 runs of
all datasets with random faults, some of them at the same time for the same month. After each run it compares every
month in every store with what it may have.

| command | cases |
| --- | --- |
| `make test` | the quick ones, marked * |
| `make test-all` | one of each other fault, at the step where it does most harm, and a short soak |
| `make test-faults` | the same faults at every other step, and a running stack; `ROUNDS=all` adds rounds of kills |
| `make soak` | 200 random runs; `RUNS=` and `SEED=` change that, and the seed is printed |

On 28 November 2026 the kills at every step and the restarts passed three times in a row, on commit 97b8834, while other
programs kept both cores busy.

Limits: the emulators stand for Google's services, and a killed machine is not tested, only killed processes. A load
job of BigQuery that outlives its task can make its staging table after the next start has cleaned up; a later start
drops it, or it expires after a day. A Parquet file without page checksums, as the TLC's are, can have bytes that
changed on the way or at the source. Decoding finds most such changes, and the file is refused; a changed value that is
still valid is loaded. The checksums of gzip files, and of Parquet files that have them, are verified.
"""
MATRIX = """\
This is the first round, which `make test-faults` makes: {killed} of the {pairs} pairs of a step and a component.
`make test-faults ROUNDS=all` makes {rounds} rounds. Each moves what is killed on by one level, so that all together
kill every component at every step. `tests/integration/test_restarts.py` kills components without regard to steps.

The runs that are held are those of
{held}.
The other DAGs of a pipeline have the same tasks.
"""


def main() -> int:
    """Write the page."""
    text = page()
    PAGE.write_text(text)
    print(f"{PAGE.relative_to(REPOSITORY)}: {text.count('| `')} lines")
    return 0


def page() -> str:
    """Return the whole page."""
    sys.path.insert(0, str(REPOSITORY / "plugins"))
    from tests.faults.cases import GROUPS
    from tests.faults.catalog import CASES, LEFTOVERS, OVERLAPS, STACK

    quick = {case.id for case in CASES if case.quick}
    promises = [*(case.promise for case in CASES), *LEFTOVERS, *OVERLAPS, *STACK]
    sections = [HEAD, f"There are {len(promises)} cases.\n"]
    for group in GROUPS:
        rows = [
            (promise.fault, promise.where, promise.promise, f"`{promise.id}`{' *' if promise.id in quick else ''}")
            for promise in promises
            if promise.group == group
        ]
        sections.append(f"## {group}\n\n{_table(rows)}\n")
    sections.append(_matrix())
    return "\n".join(sections)


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    head = ["| fault | where | what is promised, and how it recovers | case |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def _matrix() -> str:
    """Return the table of what is killed while each task of the whole stack is under way."""
    from tests.faults.killers import COMPONENTS, HELD, matrix, rounds

    killed, pairs = sum(map(len, matrix().values())), len(matrix()) * len(COMPONENTS)
    held = ", ".join(f"`{dag_id}`" for dag_id in HELD)
    lines = [
        "What is killed (x) while each task is held at its start. Components of one line are killed together.\n",
        MATRIX.format(killed=killed, pairs=pairs, rounds=len(rounds()), held=held),
        f"| step | {' | '.join(COMPONENTS)} |",
        f"| --- |{' --- |' * len(COMPONENTS)}",
        *(
            f"| `{step}` | {' | '.join('x' if name in names else '' for name in COMPONENTS)} |"
            for step, names in matrix().items()
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
