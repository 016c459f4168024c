"""Which operators of the DAGs move data: each tells in its log how far it is, and at its end what it has moved."""

from __future__ import annotations

import re

ROWS, RATES = r"[\d,]+ rows, [\d,.]+ MB, 100%, [\d,.]+ s", r", [\d,]+ rows/s, [\d,.]+ MB/s"
# The end of an operator's log. A download's number of rows is unknown: the file may be compressed.
MOVING = {
    "HttpToLocalFilesystemOperator": re.compile(r"End of download of \S+: [\d,.]+ MB, 100%, [\d,.]+ s, [\d,.]+ MB/s"),
    "ToParquetOperator": re.compile(rf"End of conversion of \S+: {ROWS}{RATES}"),
    "UploadOperator": re.compile(rf"End of upload of \S+: {ROWS}{RATES}"),
    "LakeToBigQueryOperator": re.compile(rf"End of load job into \S+: {ROWS}{RATES}"),
    "ParquetToPostgresOperator": re.compile(rf"End of copy to \S+: {ROWS}{RATES}"),
    "PublishOperator": re.compile(rf"End of publish(?: to \S+)?: {ROWS}{RATES}"),
}
# They read, or change nothing but tables and files as a whole.
STILL = {
    "BigQueryColumnAuditOperator",
    "BigQueryCreateTableOperator",
    "BigQueryInsertJobOperator",
    "BigQueryTableAuditOperator",
    "EmptyOperator",
    "LockingStatementOperator",
    "PublicationSensor",
    "SQLTableAuditOperator",
    "SkipUnchangedOperator",
    "WholeYearsOperator",
    "_PythonDecoratedOperator",
}
