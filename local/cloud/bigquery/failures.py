"""What clients are told of an error, whatever it is: never a status or a reason for which they repeat the request."""

from __future__ import annotations

import logging

import duckdb
from bqemulator.domain.errors import DomainError, InvalidQueryError, UnsupportedFeatureError
from bqemulator.jobs.error_mapper import translate_runtime_error
from bqemulator.scripting.exceptions import ScriptRaise

from local.cloud.bigquery.limits import from_unsupported, invalid
from local.cloud.bigquery.nesting import NestedTooDeeplyError
from local.cloud.bigquery.patches.error_messages import without_own_words

_log = logging.getLogger(__name__)
_SERVER_ERROR = 500


def as_domain_error(error: BaseException) -> DomainError:
    """Convert any error to one that clients do not retry; those that the server has no words for are logged."""
    if isinstance(error, ScriptRaise):
        error = error.error
    if isinstance(error, duckdb.InterruptException):
        return InvalidQueryError("Job execution was cancelled")
    if isinstance(error, duckdb.Error):
        error = translate_runtime_error(error)
    if isinstance(error, UnsupportedFeatureError):
        return from_unsupported(error)
    if isinstance(error, DomainError) and error.http_status < _SERVER_ERROR:
        return without_own_words(error)
    if isinstance(error, duckdb.Error):
        return InvalidQueryError(str(error))
    if isinstance(error, RecursionError):
        return NestedTooDeeplyError()
    _log.error("failed unexpectedly", exc_info=error)
    return invalid(f"the embedded BigQuery has failed: {type(error).__name__}: {error}; see its log")
