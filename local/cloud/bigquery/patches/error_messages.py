"""Patch of bqemulator 1.4.0: errors of running statements in BigQuery's words.

Puts a function before those of ``bqemulator.jobs.error_mapper._DUCKDB_TRANSLATORS`` that say what happened, and one
behind them for all other errors.

Why: bqemulator reports most of DuckDB's messages as they are, and some in words of another error, such as
``division by zero: 1 / 0`` whatever was divided, with DuckDB's message behind them.

Can be removed when bqemulator words these errors as BigQuery does, or has a hook for them.
"""

from __future__ import annotations

import re
from contextlib import suppress

import sqlglot
import sqlglot.errors
from bqemulator.domain.errors import DomainError, InvalidQueryError, NotFoundError
from bqemulator.jobs import error_mapper
from bqemulator.storage.type_map import duckdb_to_bq
from sqlglot import exp

from local.cloud.bigquery.limits import limit
from local.cloud.bigquery.nesting import NestedTooDeeplyError
from local.cloud.bigquery.translation.function_names import is_known
from local.cloud.bigquery.translation.macros import ERROR_MARK

_MARKED = re.compile(re.escape(ERROR_MARK) + r"(?P<message>.*?)\N{SECTION SIGN}", re.DOTALL)
# bqemulator takes NET for a dataset.
_FUNCTION = re.compile(r"Scalar Function with name (?P<net>\w+__net__)?(?P<name>\w+) does not exist", re.IGNORECASE)
_OPERATORS = {"addition": "+", "subtraction": "-", "multiplication": "*"}
_INT64 = re.compile(r"Overflow in (?P<operation>\w+) of INT64 \((?P<left>-?\d+) \S (?P<right>-?\d+)\)")
_NUMERIC = re.compile(r"Overflow in (?P<operation>\w+) of DECIMAL")
# Patterns of DuckDB's messages, and BigQuery's words for them.
_WORDS = (
    (r'Referenced (?:update )?(?:column|table) "?(?P<a>[^" ]+)"? (?:was )?not found', "Unrecognized name: {a}"),
    (r'Table "(?P<b>[^"]+)" does not have a column named "(?P<a>[^"]+)"', "Name {a} not found inside {b}"),
    (r'Table "(?P<b>[^"]+)" does not have a column with name "(?P<a>[^"]+)"', "Column {a} is not present in table {b}"),
    (r'Column "(?P<a>[^"]+)" referenced that exists in the SELECT clause', "Unrecognized name: {a}"),
    (r'Ambiguous reference to column name "(?P<a>[^"]+)"', "Column name {a} is ambiguous"),
    (r'Column "(?P<a>[^"]+)" in REPLACE list not found', "Column {a} in SELECT * REPLACE list does not exist"),
    (r'Duplicate CTE name "(?P<a>[^"]+)"', "Duplicate alias {a} for WITH subquery"),
    (r"Cannot extract field '(?P<a>[^']+)' from", "Cannot access field {a} on a value that is no STRUCT"),
    (r"Pattern failed to parse, error: '(?P<a>.*)'", "Cannot parse regular expression: {a}"),
    (r"aggregate function calls cannot be nested", "Aggregations of aggregations are not allowed"),
    (r"WHERE clause cannot contain aggregates", "Aggregate function not allowed in WHERE clause"),
    (r"WHERE clause cannot contain window functions", "Analytic function not allowed in WHERE clause"),
    (
        r"Subquery returns \d+ columns - expected 1",
        "Scalar subquery cannot have more than one column unless using SELECT AS STRUCT to build STRUCT values",
    ),
    (r"More than one row returned by a subquery", "Scalar subquery produced more than one element"),
    (r"NOT NULL constraint failed: \S+\.(?P<a>\w+)", "Required field {a} cannot be null"),
    (
        r"expected (?P<a>\d+) columns but (?P<b>\d+) values were supplied",
        "Inserted row has wrong column count; Has {b}, expected {a}",
    ),
    (
        r"table \S+ has (?P<a>\d+) columns but (?P<b>\d+) values were supplied",
        "Inserted row has wrong column count; Has {b}, expected {a}",
    ),
    (r'Duplicate column name "(?P<a>[^"]+)" in INSERT', "INSERT has columns with duplicate name: {a}"),
    (r'Column "(?P<a>[^"]+)" in EXCLUDE list not found', "Column {a} in SELECT * EXCEPT list does not exist"),
    (
        r'Could not ORDER BY column "(?P<a>[^"]+)": add the expression',
        "the embedded BigQuery does not order a set operation by the expression {a}; put the set operation into FROM",
    ),
    (
        r'Could not choose a best candidate function for the function call "(?P<a>\w+)\(',
        "the embedded BigQuery does not run {a} of a NULL without a type; cast it",
    ),
    (
        r"Cannot mix values of type (?P<a>.+?) and (?P<b>.+?) in (?P<c>\w+)",
        "the embedded BigQuery does not find the common type of values in {c}; cast them",
    ),
    (r"LIMIT/OFFSET cannot be negative", "LIMIT expects a non-negative integer literal or parameter"),
    (
        r"Could not convert string .* to INT64[\s\S]*LIMIT '",
        "LIMIT expects a non-negative integer literal or parameter",
    ),
    (
        r"value (?P<a>-?\d+) can't be cast because the value is out of range for the destination type INT32",
        "Adding the interval {a} causes overflow",
    ),
    (r"Timestamp microseconds out of range", "TIMESTAMP value out of range: it is not in the years 1 to 9999"),
    (r"Could not convert string '(?P<a>.*)' to INT64", "Bad int64 value: {a}"),
    (r"Could not convert string '(?P<a>.*)' to DOUBLE", "Bad double value: {a}"),
    (r"Could not convert string '(?P<a>.*)' to BOOL", "Bad bool value: {a}"),
    (r"Overflow in division of (?P<a>-?\d+ / -?\d+)", "int64 overflow: {a}"),
    (r"(STDDEV|VAR|COVAR|CORR)\w* is out of range", "double overflow"),
    (r"Column with name (?P<a>\S+) already exists", "Column already exists: {a}"),
    (
        r"Only one ALTER command per statement",
        "the embedded BigQuery does not run several actions in one ALTER TABLE; write a statement for each",
    ),
    (r"Sample sample_size .* out of range", "PERCENT value must be in the range [0, 100]"),
    (r'window "(?P<a>[^"]+)" does not exist', "Unrecognized window alias {a}"),
    (
        r"struct_extract with an integer key",
        "Subscript access using [INT64] is not supported on values of type STRUCT",
    ),
    (
        r"Cannot cast STRUCTs of different size",
        "No matching signature for operator = for argument types: STRUCT, STRUCT",
    ),
    (
        r'Circular reference to CTE "(?P<a>[^"]+)"',
        'Table "{a}" must be qualified with a dataset (e.g. dataset.table)',
    ),
    (r"Could not convert string '(?P<a>.*)' to INTERVAL", "Invalid INTERVAL value '{a}'"),
    (r"Table Function with name (?P<a>\w+) does not exist", "Table-valued function not found: {a}"),
    (
        r"Cannot deduce template type",
        "the embedded BigQuery does not find the common type of these array elements; cast them",
    ),
    (r"SELECT clause without selection list", "Syntax error: SELECT list must not be empty"),
    (r"prepared statement parameters: (?P<a>\w+)", "Query parameter '{a}' not found"),
    (
        r'Column "(?P<a>[^"]+)" does not exist on (?P<b>left|right) side of join',
        "Column {a} in USING clause not found on {b} side of join",
    ),
    (r'date field value out of range: "(?P<a>[^"]*)"', 'Could not cast literal "{a}" to type DATE'),
    (r'invalid date field format: "(?P<a>[^"]*)"', 'Could not cast literal "{a}" to type DATE'),
    (r'invalid timestamp field format: "(?P<a>[^"]*)"', 'Could not cast literal "{a}" to type DATETIME'),
    (r'timestamp field value out of range: "(?P<a>[^"]*)"', 'Could not cast literal "{a}" to type DATETIME'),
    (
        r"Argument for ntile must be greater than zero",
        "The N value (number of buckets) for the NTILE function must be positive",
    ),
    (r'Could not find key "(?P<a>[^"]+)" in struct', "Field name {a} does not exist in STRUCT"),
    (
        r"Invalid Input Error: (?P<a>(missing [)\]]|unexpected \)|trailing \\|invalid|bad repetition|no argument).*)",
        "Cannot parse regular expression: {a}",
    ),
)
_NOT_GROUPED = re.compile(r'column "?(?P<name>[^" ]+)"? must appear in the GROUP BY clause')
_POSITION = re.compile(r"(?P<clause>ORDER|GROUP)( BY)? term out of range - should be between 1 and (?P<most>\d+)")
_MISSING_SCHEMA = re.compile(r"Schema with name (?P<project>\S+?)__(?P<name>\S+) does not exist")
_ROUTINE = re.compile(r"\b[a-z]\w*__(?P<dataset>\w+?)__(?P<name>\w+)")
_MISSING_CATALOG = re.compile(r'Catalog "(?P<name>[^"]+)" does not exist')
_MISSING_VIEW = re.compile(r"View with name (?P<name>\S+) does not exist")
_MISSING = re.compile(r'Table with name "?(?P<name>[^"\s.]+)"? does not exist!')
_SUM = re.compile(r"Type (INT128|DOUBLE) with value .* out of range for the destination type INT64")


# BigQuery has these messages without what was divided, and no others.
_OF_BQEMULATOR = (
    *("_try_unterminated_string", "_try_schema_not_found", "_try_table_already_exists", "_try_table_not_found"),
    *("_try_scalar_function_not_found", "_try_concat_no_args", "_try_substring_bad_arity", "_try_unknown_timezone"),
    "_try_js_udf_error",
)
"""The translators of bqemulator that do not quote DuckDB."""
# DuckDB lists its own functions after that.
_SIGNATURE = re.compile(
    r"(?:No function matches the given name and argument types '|best candidate function for the function call \")"
    r"(?!bq_)(?P<name>[^(]+)\((?P<types>[^'\"]*)\)['\"]"
)
_OWN_PARTS = re.compile(r"\n\s*(?:LINE \d+:|Candidate |Did you mean|At:)")
_OWN_ERROR = re.compile(
    r"\b(Binder|Catalog|Conversion|Parser|Constraint|Invalid Input|Out of Range|Not implemented|Invalid Type) Error: "
)
_KIND = re.compile(r"\A(?:[A-Z][A-Za-z ]+ Error: )?(?:Python exception occurred while executing the UDF: \w+: )?")


def _split(text: str) -> list[str]:
    """Split a list of DuckDB's types at the commas that are in no parentheses."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _type_name(text: str) -> str:
    """Return BigQuery's name of a type in DuckDB's message about a signature."""
    if text in ("INTEGER_LITERAL", "INTEGER"):
        return "INT64"
    return "STRING" if text == "STRING_LITERAL" else duckdb_to_bq(text)


def install() -> None:
    """Make bqemulator report errors of this package's macros, and overflows, in BigQuery's words."""
    sqlglot.errors.ANSI_UNDERLINE = sqlglot.errors.ANSI_RESET = ""  # its messages are not for terminals
    kept = (getattr(error_mapper, name) for name in _OF_BQEMULATOR)
    error_mapper._DUCKDB_TRANSLATORS = (_translated, *kept, _unknown)


def _translated(message: str, sql: str | None) -> DomainError | None:
    if "Max expression depth limit" in message:
        return NestedTooDeeplyError("1,000 operators in a row")
    if elsewhere := _of_other_project(message, sql or ""):
        return InvalidQueryError(f"Function not found: {elsewhere}", location="query")
    missing = _FUNCTION.search(message)
    if missing and (missing["net"] or is_known(missing["name"].upper())):
        return limit(f"have the function {'NET.' if missing['net'] else ''}{missing['name'].upper()}")
    if schema := _MISSING_SCHEMA.search(message):
        return NotFoundError(f"Not found: Dataset {schema['project']}:{schema['name']} was not found in location US")
    if missing and (routine := _ROUTINE.fullmatch(missing["name"])):
        return InvalidQueryError(f"Function not found: {routine['dataset']}.{routine['name']}", location="query")
    if view := _MISSING_VIEW.search(message):
        return NotFoundError(f"Not found: Table {view['name']} was not found in location US")
    finders = (_of_unqualified_table, _of_ungrouped_column, _of_position)
    text = next(filter(None, (find(message, sql or "") for find in finders)), None) or bigquery_message(message)
    return InvalidQueryError(text, location="query") if text else None


def without_own_words(error: DomainError) -> DomainError:
    """Return an error without a message of DuckDB that bqemulator has put into it, as it does for EXECUTE IMMEDIATE."""
    found = _OWN_ERROR.search(error.message)
    if found is None:
        return error
    return error_mapper.translate_runtime_error(RuntimeError(error.message[found.start() :]))


def _unknown(message: str, _: str | None) -> DomainError:
    """Return an error whose words in BigQuery are not known here, without DuckDB's functions and statement."""
    short = _KIND.sub("", _OWN_PARTS.split(message, maxsplit=1)[0]).strip()
    return InvalidQueryError(
        f"the embedded BigQuery does not word this error as BigQuery does: {short}", location="query"
    )


def _of_other_project(message: str, sql: str) -> str | None:
    """Return the name of a function that a statement calls in a project that is not here."""
    catalog = _MISSING_CATALOG.search(message)
    called = catalog and re.search(
        rf'(?<![\w.])"?{re.escape(catalog["name"])}"?((?:\."?\w+"?)+)\s*\(', sql, re.IGNORECASE
    )
    return f"{catalog['name']}{called[1]}".replace('"', "") if catalog and called else None


def _of_unqualified_table(message: str, sql: str) -> str | None:
    """Return BigQuery's message for a table that is missing, and that the statement names without a dataset."""
    missing = _MISSING.search(message)
    if missing is None or not sql or re.search(rf"\.\s*\"?{re.escape(missing['name'])}\b", sql):
        return None
    return f'Table "{missing["name"]}" must be qualified with a dataset (e.g. dataset.table)'


def _of_ungrouped_column(message: str, sql: str) -> str | None:
    """Return BigQuery's message for a column that is not grouped, which names the clause that it is in."""
    found = _NOT_GROUPED.search(message)
    if found is None:
        return None
    clause = "SELECT list"
    with suppress(sqlglot.errors.SqlglotError):
        select = sqlglot.parse_one(sql, read="duckdb")
        if isinstance(select, exp.Select):
            clause = _clause_of(select, found["name"])
    return f"{clause} expression references column {found['name']} which is neither grouped nor aggregated"


def _of_position(message: str, sql: str) -> str | None:
    """Return BigQuery's message for a number in ORDER BY or GROUP BY that is no column's."""
    found = _POSITION.search(message)
    if found is None:
        return None
    place = "?"
    with suppress(sqlglot.errors.SqlglotError):
        kind = exp.Order if found["clause"] == "ORDER" else exp.Group
        numbers = [
            item.sql()
            for clause in sqlglot.parse_one(sql, read="duckdb").find_all(kind)
            for item in (one.this if isinstance(one, exp.Ordered) else one for one in clause.expressions)
            if isinstance(item, exp.Literal | exp.Neg)
        ]
        place = next((number for number in numbers if not 1 <= int(number) <= int(found["most"])), place)
    if found["clause"] == "ORDER" and place.startswith(("0", "-")):
        lowest = "Column numbers must be greater than or equal to one"
        return f"ORDER BY column number item is out of range. {lowest}. Found : {place}"
    return f"{found['clause']} BY is out of SELECT column number range: {place}"


def _clause_of(select: exp.Select, name: str) -> str:
    def names(node: exp.Expression | None) -> bool:
        return node is not None and any(column.name == name for column in node.find_all(exp.Column))

    if any(names(item) for item in select.expressions):
        return "SELECT list"
    if any(item.is_star for item in select.expressions):
        return "Star expansion"
    clauses = {"having": "HAVING clause", "qualify": "QUALIFY clause", "order": "ORDER BY clause"}
    return next((words for part, words in clauses.items() if names(select.args.get(part))), "SELECT list")


def bigquery_message(message: str) -> str | None:
    """Return BigQuery's message for a message of DuckDB; None if it is not one of those known here."""
    if marked := _MARKED.search(message):
        return marked["message"]
    if overflow := _INT64.search(message):
        operator = _OPERATORS.get(overflow["operation"], overflow["operation"])
        return f"int64 overflow: {overflow['left']} {operator} {overflow['right']}"
    if "Overflow in negation" in message or "Overflow on abs" in message or _SUM.search(message):
        return "int64 overflow"
    for pattern, words in _WORDS:
        if found := re.search(pattern, message):
            return _ROUTINE.sub(r"\g<dataset>.\g<name>", words.format(**found.groupdict()))
    if found := _SIGNATURE.search(message):
        kind = "function" if found["name"][0].isalpha() else "operator"
        given = ", ".join(_type_name(part) for part in _split(found["types"]))
        name = found["name"].upper().removeprefix("BQEMU_")
        return f"No matching signature for {kind} {name} for argument types: {given}"
    return "numeric overflow" if _NUMERIC.search(message) else None
