"""Reports how far a BigQuery job has come."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from google.cloud.bigquery import DEFAULT_RETRY, LoadJob, QueryJob

from nyc_taxi.common.progress import Progress

if TYPE_CHECKING:
    from google.cloud.bigquery.job.base import _AsyncJob

# Seconds between two looks at a job. They grow, because most jobs take a second or two.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0
# Whoever waits for the result after this has longer retries of its own.
_RETRY = DEFAULT_RETRY.with_timeout(30)

log = logging.getLogger(__name__)


def watch(job: _AsyncJob, progress: Progress) -> None:
    """Wait until a job has ended, and report its state and what its statistics say meanwhile.

    A look that fails ends the watch without an error: the caller asks for the job's result afterwards, which waits for
    it too, and raises what is wrong.
    """
    pause = FIRST_PAUSE
    try:
        while not job.done(retry=_RETRY):
            _report(job, progress)
            time.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE)
        progress.complete(**_moved(job))
    except Exception as error:
        log.info("Cannot see how far the job %s is: %s", job.job_id, error)


def written_rows(job: _AsyncJob) -> int | None:
    """Return how many rows a query job has written that has succeeded; None if that cannot be found out.

    Never an error: the rows are published by then.
    """
    try:
        return getattr(job.result(), "total_rows", None)
    except Exception as error:
        log.info("Cannot find out how many rows the job %s has written: %s", job.job_id, error)
        return None


def _report(job: _AsyncJob, progress: Progress) -> None:
    share = (lambda: _share(job)) if isinstance(job, QueryJob) else None
    progress.reach(**_moved(job), share=share, state=job.state or "")


def _moved(job: _AsyncJob) -> dict[str, int | None]:
    """Return what the job's statistics say: the rows of a load, and the bytes."""
    if isinstance(job, LoadJob):
        return {"rows": job.output_rows, "size": job.output_bytes}
    return {"size": job.total_bytes_processed} if isinstance(job, QueryJob) else {}


def _share(job: QueryJob) -> float | None:
    """Return the share of a query's units of work that are done; None while BigQuery does not say."""
    if not job.timeline:
        return None
    now = job.timeline[-1]
    done, left = now.completed_units or 0, (now.pending_units or 0) + (now.active_units or 0)
    return done / (done + left) if done + left else None
