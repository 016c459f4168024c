"""JSON functions: what they give for values of type JSON and for JSON in strings.

Source: "JSON functions" (https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions); the texts of
errors: Google's implementation of GoogleSQL. The functions themselves are in ``json_values``.
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import json_values, types
from local.cloud.bigquery.translation.json_paths import steps_of
from local.cloud.bigquery.translation.json_text import json_text
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.python_functions import python_function
from local.cloud.bigquery.translation.rules import Context, call, fails_safely, named, rule
from local.cloud.bigquery.translation.types import Type

_TEXT, _TEXTS, _JSON, _JSONS = "VARCHAR", "VARCHAR[]", "JSON", "JSON[]"
# Each Python function: its name, parameters after the text, the DuckDB types of its result and of the macro's.
for _function, _parameters, _result, _type in (
    (json_values.normal, {"mode": _TEXT}, _TEXT, _JSON),
    (json_values.query, {"path": _TEXT}, _TEXT, _JSON),
    (json_values.query_string, {"path": _TEXT}, _TEXT, _TEXT),
    (json_values.value, {"path": _TEXT}, _TEXT, _TEXT),
    (json_values.query_array, {"path": _TEXT}, _TEXTS, _JSONS),
    (json_values.value_array, {"path": _TEXT}, _TEXTS, _TEXTS),
    (json_values.member, {"name": _TEXT}, _TEXT, _JSON),
    (json_values.element, {"place": "BIGINT"}, _TEXT, _JSON),
    (json_values.keys, {"depth": "BIGINT", "mode": _TEXT}, _TEXTS, _TEXTS),
    (json_values.int64, {}, "BIGINT", "BIGINT"),
    (json_values.float64, {"mode": _TEXT}, "DOUBLE", "DOUBLE"),
    (json_values.boolean, {}, "BOOLEAN", "BOOLEAN"),
    (json_values.string, {}, _TEXT, _TEXT),
    (json_values.lax_int64, {}, "BIGINT", "BIGINT"),
    (json_values.lax_float64, {}, "DOUBLE", "DOUBLE"),
    (json_values.lax_boolean, {}, "BOOLEAN", "BOOLEAN"),
    (json_values.lax_string, {}, _TEXT, _TEXT),
    (json_values.kind, {}, _TEXT, _TEXT),
    (json_values.set_value, {"path": _TEXT, "new": _TEXT, "make": "BOOLEAN"}, _TEXT, _JSON),
    (json_values.remove, {"path": _TEXT}, _TEXT, _JSON),
    (json_values.append, {"path": _TEXT, "new": _TEXT, "each": "BOOLEAN"}, _TEXT, _JSON),
    (json_values.insert, {"path": _TEXT, "new": _TEXT, "each": "BOOLEAN"}, _TEXT, _JSON),
    (json_values.strip_nulls, {"path": _TEXT, "arrays": "BOOLEAN", "empty": "BOOLEAN"}, _TEXT, _JSON),
):
    _name, _arguments = _function.__name__, "".join(f", {name}" for name in _parameters)
    python_function(f"bq_python_json_{_name}", _function, [_TEXT, *_parameters.values()], _result)
    macro(f"bq_json_{_name}(x{_arguments})", f"CAST(bq_python_json_{_name}(CAST(x AS VARCHAR){_arguments}) AS {_type})")
macro("bq_json_query_array_string(x, path)", "bq_python_json_query_array(CAST(x AS VARCHAR), path)")


def _options(node: exp.Expression, **defaults: exp.Expression) -> list[exp.Expression]:
    """Return the values of a function's named arguments, and remove them from its node."""
    found = dict(defaults)
    for argument in list(node.find_all(exp.Kwarg)):
        if argument.parent is not node:
            continue
        name = argument.this.name.lower()
        if name not in defaults:
            raise invalid(f"Named argument {name} not found in signature")
        found[name] = argument.expression.copy()
        argument.pop()
    return list(found.values())


def _check(function: str, context: Context, given: dict[exp.Expression | None, tuple[Type, ...]]) -> None:
    kinds = [context.of(argument) for argument in given]
    if any(kind not in (None, types.NULL, *allowed) for kind, allowed in zip(kinds, given.values(), strict=True)):
        raise invalid(f"No matching signature for function {function} for argument types: {named(kinds)}")


def _check_path(path: exp.Expression | None) -> None:
    """Report a wrong JSONPath before the query runs."""
    if isinstance(path, exp.Literal) and path.is_string and path.parent and not fails_safely(path.parent):
        try:
            steps_of(path.name)
        except ValueError as error:
            raise invalid(str(error)) from error


# --- Parts ------------------------------------------------------------------------------------------------------------

_PARTS = {
    exp.JSONExtract: ("JSON_QUERY", "bq_json_query", "bq_json_query_string"),
    exp.JSONExtractArray: ("JSON_QUERY_ARRAY", "bq_json_query_array", "bq_json_query_array_string"),
    exp.JSONExtractScalar: ("JSON_VALUE", "bq_json_value", "bq_json_value"),
    exp.JSONValueArray: ("JSON_VALUE_ARRAY", "bq_json_value_array", "bq_json_value_array"),
}


@rule(*_PARTS)
def part(node: exp.Expression, context: Context) -> exp.Expression:
    """JSON_QUERY, JSON_VALUE and their arrays: of JSON they give JSON, of a STRING a STRING, in which null is NULL.

    Source: "JSON functions", JSON_QUERY, JSON_VALUE, JSON_QUERY_ARRAY, JSON_VALUE_ARRAY and their old names.
    """
    function, of_json, of_string = _PARTS[type(node)]
    kind, path = context.of(node.this), node.expression
    _check(function, context, {node.this: (types.JSON, types.STRING), path: (types.STRING,)})
    _check_path(path)
    if kind is None and of_json != of_string:
        raise limit(f"run {function} of a value of unknown type; cast it to STRING, or parse it with PARSE_JSON")
    return call(of_json if kind == types.JSON else of_string, node.this, path)


@rule(exp.Dot)
def member(node: exp.Dot, context: Context) -> exp.Expression | None:
    """A field access of JSON gives a member of an object as JSON, or NULL.

    Source: "Operators", field access operator.
    """
    if context.of(node.this) != types.JSON or not isinstance(node.expression, exp.Identifier):
        return None
    return call("bq_json_member", node.this, node.name)


@rule(exp.Bracket)
def subscript(node: exp.Bracket, context: Context) -> exp.Expression | None:
    """A subscript of JSON gives a member by its name, or an element by its place from 0, as JSON, or NULL.

    Source: "Operators", JSON subscript operator.
    """
    if context.of(node.this) != types.JSON:
        return None
    index = node.expressions[0]
    kind = context.of(index)
    if kind is None:
        raise limit("look up JSON by a value of unknown type; cast it")
    if kind not in (types.INT64, types.STRING):
        raise invalid(f"Subscript access using [{kind}] is not supported on values of type JSON")
    return call("bq_json_element" if kind == types.INT64 else "bq_json_member", node.this, index)


@rule(exp.JSONKeysAtDepth)
def keys(node: exp.JSONKeysAtDepth, context: Context) -> exp.Expression:
    """JSON_KEYS gives the keys of objects and of the objects in them, in order.

    Source: "JSON functions", JSON_KEYS.
    """
    mode, depth = _options(node, mode=exp.Literal.string("strict"), max_depth=exp.Literal.number(2**31))
    _check("JSON_KEYS", context, {node.this: (types.JSON,)})
    return call("bq_json_keys", node.this, node.expression or depth, mode)


# --- Conversions ------------------------------------------------------------------------------------------------------

_CONVERSIONS: dict[type[exp.Expression], tuple[str, str]] = {
    exp.Int64: ("INT64", "bq_json_int64"),
    exp.JSONBool: ("BOOL", "bq_json_boolean"),
    exp.LaxInt64: ("LAX_INT64", "bq_json_lax_int64"),
    exp.LaxFloat64: ("LAX_FLOAT64", "bq_json_lax_float64"),
    exp.LaxBool: ("LAX_BOOL", "bq_json_lax_boolean"),
    exp.LaxString: ("LAX_STRING", "bq_json_lax_string"),
    exp.JSONType: ("JSON_TYPE", "bq_json_kind"),
}


@rule(*_CONVERSIONS)
def converted(node: exp.Expression, context: Context) -> exp.Expression:
    """INT64, BOOL and so on convert JSON of that type, and fail for other JSON; with LAX_ they give NULL.

    Source: "JSON functions", INT64, BOOL, LAX_INT64, LAX_FLOAT64, LAX_BOOL, LAX_STRING, JSON_TYPE.
    """
    function, macro_name = _CONVERSIONS[type(node)]
    _check(function, context, {node.this: (types.JSON,)})
    return call(macro_name, node.this)


@rule(exp.Float64)
def float64(node: exp.Float64, context: Context) -> exp.Expression:
    """FLOAT64 converts a JSON number.

    Source: "JSON functions", FLOAT64.
    """
    (mode,) = _options(node, wide_number_mode=exp.Literal.string("round"))
    _check("FLOAT64", context, {node.this: (types.JSON,)})
    return call("bq_json_float64", node.this, mode)


@rule(exp.String)
def string(node: exp.String, context: Context) -> exp.Expression | None:
    """STRING converts a JSON string.

    Source: "JSON functions", STRING.
    """
    return call("bq_json_string", node.this) if context.of(node.this) == types.JSON else None


# --- Literals ---------------------------------------------------------------------------------------------------------


def mend_json_literals(tree: exp.Expression) -> None:
    """Make ``JSON '...'.a`` the member of the literal; sqlglot reads it as the JSON of a member of a string."""
    for node in list(tree.find_all(exp.ParseJSON)):
        base = node.this
        while isinstance(base, exp.Dot | exp.Bracket):
            base = base.this
        if base is node.this or not isinstance(base, exp.Literal | exp.RawString):
            continue
        whole = node.this
        node.replace(whole)
        base.replace(exp.ParseJSON(this=base.copy()))


# --- Values -----------------------------------------------------------------------------------------------------------


@rule(exp.ParseJSON)
def parse_json(node: exp.ParseJSON, context: Context) -> exp.Expression:
    """PARSE_JSON and JSON literals: of repeated keys the first counts, and numbers must not be rounded.

    Source: "JSON functions", PARSE_JSON; "Data types", JSON.
    """
    (mode,) = _options(node, wide_number_mode=exp.Literal.string("exact"))
    _check("PARSE_JSON", context, {node.this: (types.STRING,)})
    return call("bq_json_normal", node.this, mode)


@rule(exp.JSONFormat)
def to_json(node: exp.JSONFormat, context: Context) -> exp.Expression | None:
    """TO_JSON gives a JSON null for NULL, numbers as numbers, and other types as TO_JSON_STRING writes them.

    Source: "JSON functions", TO_JSON.
    """
    kind = context.of(node.this)
    if kind is None or not node.args.get("to_json"):
        return None
    (stringify,) = _options(node, stringify_wide_numbers=exp.false())
    if not isinstance(stringify, exp.Boolean):
        raise limit("run TO_JSON with stringify_wide_numbers that is not a literal")
    text = json_text(node.this, kind, wide=not stringify.this)
    return _json(text) if text is not None else None


def _json(text: exp.Expression) -> exp.Expression:
    return call("bq_json_normal", text, "exact")


def _text_of(value: exp.Expression, context: Context) -> exp.Expression:
    """Return the text of an argument as TO_JSON writes it."""
    kind = context.of(value)
    if kind is None:
        raise limit("write a value of unknown type as JSON; cast it")
    return json_text(value, kind, wide=True) or exp.Literal.string("null")


@rule(exp.JSONArray)
def json_array(node: exp.JSONArray, context: Context) -> exp.Expression:
    """JSON_ARRAY of any values.

    Source: "JSON functions", JSON_ARRAY.
    """
    return _json(call("bq_json_list", exp.Array(expressions=[_text_of(value, context) for value in node.expressions])))


@rule(exp.JSONObject)
def json_object(node: exp.JSONObject, context: Context) -> exp.Expression:
    """JSON_OBJECT of keys and values, or of an array of each.

    Source: "JSON functions", JSON_OBJECT.
    """
    parts: list[exp.Expression] = []
    for pair in node.expressions:
        if not isinstance(pair, exp.JSONKeyValue) or context.of(pair.this) not in (types.STRING, None):
            raise limit("run JSON_OBJECT of anything but STRING keys and values, or a literal array of each")
        if parts:
            parts.append(exp.Literal.string(","))
        parts += [call("bq_json_key", pair.this), _text_of(pair.expression, context)]
    whole = exp.Array(expressions=[exp.Literal.string("{"), *parts, exp.Literal.string("}")])
    return _json(call("list_aggregate", whole, "string_agg", ""))


macro(
    "bq_json_key(x)",
    """CASE WHEN x IS NULL THEN CAST(bq_error('Invalid input to JSON_OBJECT: A key cannot be NULL') AS VARCHAR)
    ELSE bq_json_quoted(x) || ':' END""",
)

# --- Changes ----------------------------------------------------------------------------------------------------------

_CHANGES = {
    exp.JSONSet: ("JSON_SET", "create_if_missing", "bq_json_set_value"),
    exp.JSONArrayAppend: ("JSON_ARRAY_APPEND", "append_each_element", "bq_json_append"),
    exp.JSONArrayInsert: ("JSON_ARRAY_INSERT", "insert_each_element", "bq_json_insert"),
}


@rule(*_CHANGES)
def changed(node: exp.Expression, context: Context) -> exp.Expression:
    """JSON_SET, JSON_ARRAY_APPEND and JSON_ARRAY_INSERT of pairs of a JSONPath and a value, one after the other.

    Source: "JSON functions", those functions.
    """
    function, option, macro_name = _CHANGES[type(node)]
    (given,) = _options(node, **{option: exp.true()})
    _check(function, context, {node.this: (types.JSON,)})
    result, rest = node.this, node.expressions
    if not rest or len(rest) % 2:
        raise invalid(f"No matching signature for function {function}: it takes pairs of a JSONPath and a value")
    for path, value in zip(rest[::2], rest[1::2], strict=True):
        _check_path(path)
        kind = context.of(value)
        each = given.copy() if macro_name == "bq_json_set_value" or (kind and kind.name == "ARRAY") else exp.false()
        result = call(macro_name, result, path, _text_of(value, context), each)
    return result


@rule(exp.JSONRemove)
def removed(node: exp.JSONRemove, context: Context) -> exp.Expression:
    """JSON_REMOVE of one JSONPath after the other.

    Source: "JSON functions", JSON_REMOVE.
    """
    _check("JSON_REMOVE", context, {node.this: (types.JSON,)})
    result = node.this
    for path in node.expressions:
        _check_path(path)
        result = call("bq_json_remove", result, path)
    return result


@rule(exp.JSONStripNulls)
def without_nulls(node: exp.JSONStripNulls, context: Context) -> exp.Expression:
    """JSON_STRIP_NULLS of the whole value or of a part.

    Source: "JSON functions", JSON_STRIP_NULLS.
    """
    arrays, empty = _options(node, include_arrays=exp.true(), remove_empty=exp.false())
    _check("JSON_STRIP_NULLS", context, {node.this: (types.JSON,)})
    path = node.expression or exp.Literal.string("$")
    _check_path(path)
    return call("bq_json_strip_nulls", node.this, path, arrays, empty)


# --- What JSON cannot do ----------------------------------------------------------------------------------------------


@rule(exp.Group, exp.Order, exp.Distinct)
def no_keys(node: exp.Expression, context: Context) -> exp.Expression | None:
    """Values of type JSON are not groupable, not orderable, and not distinct from one another.

    Source: "Data types", groupable and orderable data types.
    """
    query = node.parent
    for key in node.expressions:
        value = key.this if isinstance(key, exp.Ordered) else key
        if isinstance(value, exp.Literal) and value.is_int and isinstance(query, exp.Select):
            place = int(value.name) - 1
            value = query.expressions[place] if place < len(query.expressions) else value
        if context.of(value) == types.JSON:
            raise invalid(_REFUSALS[type(node)])
    if isinstance(node, exp.Distinct) and isinstance(query, exp.Select) and not node.expressions:
        for number, item in enumerate(query.expressions, 1):
            if context.of(item) == types.JSON:
                raise invalid(f"Column {item.alias_or_name or number} of type JSON cannot be used in SELECT DISTINCT")
    return None


_REFUSALS = {
    exp.Group: "Grouping by expressions of type JSON is not allowed",
    exp.Order: "ORDER BY does not support expressions of type JSON",
    exp.Distinct: "Aggregate functions with DISTINCT cannot be used with arguments of type JSON",
}
