"""The functions that BigQuery has: those that only DuckDB has are refused.

Source: "Function reference", all functions
(https://cloud.google.com/bigquery/docs/reference/standard-sql/functions-all).
"""

from __future__ import annotations

import re

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.literals import without_literals

_LIST = """
ABS ACOS ACOSH ANY_VALUE APPENDS APPROX_COUNT_DISTINCT APPROX_QUANTILES APPROX_TOP_COUNT APPROX_TOP_SUM ARRAY
ARRAY_AGG ARRAY_CONCAT ARRAY_CONCAT_AGG ARRAY_FIRST ARRAY_LAST ARRAY_LENGTH ARRAY_REVERSE ARRAY_SLICE ARRAY_TO_STRING
ASCII ASIN ASINH ATAN ATAN2 ATANH AVG BIT_AND BIT_COUNT BIT_OR BIT_XOR BOOL BOOL_ARRAY BYTE_LENGTH CAST CBRT CEIL
CEILING CHANGES CHARACTER_LENGTH CHAR_LENGTH CHR COALESCE CODE_POINTS_TO_BYTES CODE_POINTS_TO_STRING COLLATE CONCAT
CONTAINS_SUBSTR CORR COS COSH COSINE_DISTANCE COT COTH COUNT COUNTIF COVAR_POP COVAR_SAMP CSC CSCH CUME_DIST
CURRENT_DATE CURRENT_DATETIME CURRENT_TIME CURRENT_TIMESTAMP DATE DATETIME DATETIME_ADD DATETIME_BUCKET DATETIME_DIFF
DATETIME_SUB DATETIME_TRUNC DATE_ADD DATE_BUCKET DATE_DIFF DATE_FROM_UNIX_DATE DATE_SUB DATE_TRUNC DENSE_RANK
DETERMINISTIC_DECRYPT_BYTES DETERMINISTIC_DECRYPT_STRING DETERMINISTIC_ENCRYPT DIV EDIT_DISTANCE ENDS_WITH ERROR
EUCLIDEAN_DISTANCE EXP EXTERNAL_OBJECT_TRANSFORM EXTERNAL_QUERY EXTRACT FARM_FINGERPRINT FIRST_VALUE FLOAT64
FLOAT64_ARRAY FLOOR FORMAT FORMAT_DATE FORMAT_DATETIME FORMAT_TIME FORMAT_TIMESTAMP FROM_BASE32 FROM_BASE64 FROM_HEX
GAP_FILL GENERATE_ARRAY GENERATE_DATE_ARRAY GENERATE_RANGE_ARRAY GENERATE_TIMESTAMP_ARRAY GENERATE_UUID GREATEST
GROUPING IEEE_DIVIDE IF IFERROR IFNULL INITCAP INSTR INT64 INT64_ARRAY ISERROR IS_INF IS_NAN JSON_ARRAY
JSON_ARRAY_APPEND JSON_ARRAY_INSERT JSON_EXTRACT JSON_EXTRACT_ARRAY JSON_EXTRACT_SCALAR JSON_EXTRACT_STRING_ARRAY
JSON_FLATTEN JSON_KEYS JSON_OBJECT JSON_QUERY JSON_QUERY_ARRAY JSON_REMOVE JSON_SET JSON_STRIP_NULLS JSON_TYPE
JSON_VALUE JSON_VALUE_ARRAY JUSTIFY_DAYS JUSTIFY_HOURS JUSTIFY_INTERVAL LAG LAST_DAY LAST_VALUE LAX_BOOL LAX_FLOAT64
LAX_INT64 LAX_STRING LEAD LEAST LEFT LENGTH LN LOG LOG10 LOGICAL_AND LOGICAL_OR LOWER LPAD LTRIM MAKE_INTERVAL MAX
MAX_BY MD5 MIN MIN_BY MOD NORMALIZE NORMALIZE_AND_CASEFOLD NTH_VALUE NTILE NULLIF NULLIFERROR OCTET_LENGTH
PARSE_BIGNUMERIC PARSE_DATE PARSE_DATETIME PARSE_JSON PARSE_NUMERIC PARSE_TIME PARSE_TIMESTAMP PERCENTILE_CONT
PERCENTILE_DISC PERCENT_RANK POW POWER RAND RANGE RANGE_BUCKET RANGE_CONTAINS RANGE_END RANGE_INTERSECT RANGE_OVERLAPS
RANGE_SESSIONIZE RANGE_START RANK REGEXP_CONTAINS REGEXP_EXTRACT REGEXP_EXTRACT_ALL REGEXP_INSTR REGEXP_REPLACE
REGEXP_SUBSTR REPEAT REPLACE REVERSE RIGHT ROUND ROW_NUMBER RPAD RTRIM SAFE_ADD SAFE_CAST SAFE_CONVERT_BYTES_TO_STRING
SAFE_DIVIDE SAFE_MULTIPLY SAFE_NEGATE SAFE_SUBTRACT SEARCH SEC SECH SESSION_USER SHA1 SHA256 SHA512 SIGN SIN SINH
SOUNDEX SPLIT SQRT STARTS_WITH STDDEV STDDEV_POP STDDEV_SAMP STRING STRING_AGG STRING_ARRAY STRPOS STRUCT SUBSTR
SUBSTRING SUM TAN TANH TEXT_ANALYZE TIME TIMESTAMP TIMESTAMP_ADD TIMESTAMP_BUCKET TIMESTAMP_DIFF TIMESTAMP_MICROS
TIMESTAMP_MILLIS TIMESTAMP_SECONDS TIMESTAMP_SUB TIMESTAMP_TRUNC TIME_ADD TIME_DIFF TIME_SUB TIME_TRUNC TO_BASE32
TO_BASE64 TO_CODE_POINTS TO_HEX TO_JSON TO_JSON_STRING TRANSLATE TRIM TRUNC TYPEOF UNICODE UNIX_DATE UNIX_MICROS
UNIX_MILLIS UNIX_SECONDS UNNEST UPPER VARIANCE VAR_POP VAR_SAMP VECTOR_SEARCH
"""
_ML = re.compile(r"(?<![\w.`])(?:(?:ML|AI)\.[A-Z_]+\s*\(|(?i:(?:ML|AI)\.\w+\s*\(\s*(?:MODEL|TABLE)\b))")
_TABLE_FUNCTIONS = re.compile(
    r"(?<![\w.`])(APPENDS|CHANGES|EXTERNAL_OBJECT_TRANSFORM|EXTERNAL_QUERY|GAP_FILL|RANGE_SESSIONIZE|VECTOR_SEARCH)\s*\(",
    re.IGNORECASE,
)
_NAMES = frozenset(_LIST.split())
_TEMPORARY = "_bqemu_temp_"
"""Is in the names that bqemulator gives to a script's temporary functions."""
_GEOGRAPHY = ("ST_", "S2_")
_PARTS = frozenset({"WEEK"})
"""Parts of dates that are written as calls: ``WEEK(MONDAY)``."""


def check_function_names(tree: exp.Expression) -> None:
    """Refuse calls of functions that BigQuery does not have.

    Functions of a dataset are left to bqemulator.

    Raises:
        ValidationError: in BigQuery's words.
    """
    for node in tree.find_all(exp.Func):
        name = _written_name(node)
        if name.upper().startswith(_GEOGRAPHY):
            raise limit(f"have the type GEOGRAPHY and its functions ({name.upper()})")
        if name.upper().startswith("RANGE") and name.upper() != "RANGE_BUCKET":
            raise limit(f"have the type RANGE and its functions ({name.upper()})")
        if name.upper() == "VALUES":
            raise limit("run INSERT VALUES without a list of columns in MERGE; write INSERT (columns) VALUES (values)")
        if name and not is_known(name.upper()):
            raise invalid(f"Function not found: {name}")


def check_calls(sql: str) -> None:
    """Refuse calls of BigQuery ML and of table functions, whose arguments the parser does not read.

    Raises:
        ValidationError: naming the limit.
    """
    if not _ML.search(sql) and not _TABLE_FUNCTIONS.search(sql):
        return
    sql = without_literals(sql)
    if found := _ML.search(sql):
        raise limit(f"have BigQuery ML and its functions ({found[0].partition('(')[0].strip().upper()})")
    if found := _TABLE_FUNCTIONS.search(sql):
        raise limit(f"have the table function {found[1].upper()}")


def is_known(name: str) -> bool:
    """Return whether BigQuery has a function of this name, in capitals."""
    return name in _NAMES or name in _PARTS or name.startswith(_GEOGRAPHY) or _TEMPORARY.upper() in name


def _written_name(node: exp.Func) -> str:
    """Return the name of the function as the statement writes it; empty if there is none."""
    if isinstance(node.parent, exp.Table | exp.NetFunc):
        return ""  # a table function is checked as a table
    if isinstance(node, exp.Anonymous):
        name = node.name
        return "" if isinstance(node.parent, exp.Dot) or "." in name else name
    return str(node.meta.get("name") or "")
