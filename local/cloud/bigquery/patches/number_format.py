"""Patch of bqemulator 1.4.0: NUMERIC in answers without trailing zeros.

Replaces the formatter of decimals in ``bqemulator.storage.arrow_bridge._BQ_TYPE_FORMATTERS``.

Why: BigQuery answers ``2.5`` and ``0.000000001``; bqemulator ``2.500000000`` and ``1E-9``.

Can be removed when bqemulator formats NUMERIC as BigQuery does.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
from bqemulator.storage import arrow_bridge


def install() -> None:
    """Make bqemulator write NUMERIC values as BigQuery does."""
    arrow_bridge._BQ_TYPE_FORMATTERS = tuple(
        (test, _number if test is pa.types.is_decimal else function)
        for test, function in arrow_bridge._BQ_TYPE_FORMATTERS
    )


def _number(value: Decimal, *_: Any) -> str:
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
