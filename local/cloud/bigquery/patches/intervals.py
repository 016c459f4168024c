"""Patch of bqemulator 1.4.0: the text of intervals in answers.

Replaces ``format_bq_interval`` of ``bqemulator.types.interval`` in ``bqemulator.storage.arrow_bridge``.

Why: bqemulator writes the sign of any part before the whole interval, so that minus one day is read as one day.

Can be removed when bqemulator writes the signs of months, days and time apart, as BigQuery does.
"""

from __future__ import annotations

from bqemulator.storage import arrow_bridge

from local.cloud.bigquery.translation.time_formats import interval_text


def install() -> None:
    """Make bqemulator write intervals as BigQuery does."""
    arrow_bridge.format_bq_interval = lambda months, days, nanos: interval_text(months, days, nanos // 1000)
