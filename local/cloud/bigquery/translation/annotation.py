"""The types of a statement's expressions, from the catalog's schemas.

:func:`annotate` resolves the columns of a BigQuery syntax tree scope by scope and infers the type of every expression.
It changes nothing in the tree, but marks the columns that stand for aliases (see ``aliases``). A type that it cannot
know is None: a column of a table without a known schema, the result of a user's function, or an expression that
BigQuery refuses. sqlglot's own annotation is not used: it needs a tree whose names are qualified first, which changes
the statement, and it does not follow DML.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.aliases import is_alias, mark_aliases, selected_names
from local.cloud.bigquery.translation.functions import type_of_function
from local.cloud.bigquery.translation.types import Type


@dataclass(frozen=True)
class Columns:
    """The columns of a table or a query, in their order; names may repeat."""

    pairs: tuple[tuple[str, Type | None], ...]

    @functools.cached_property
    def by_name(self) -> Mapping[str, Type | None]:
        """The types by lower-case name."""
        return {name.lower(): kind for name, kind in self.pairs}

    @property
    def kinds(self) -> list[Type | None]:
        """The types in their order."""
        return [kind for _, kind in self.pairs]


Tables = Callable[[exp.Table], Columns | None]
"""Returns the columns of a table; None if they are not known."""


@dataclass(frozen=True)
class Source:
    """What a name in FROM stands for.

    Attributes:
        columns: its columns; None if they are not known.
        value: the type of the name itself where it is a value, as in ``UNNEST(...) AS value``.
    """

    columns: Columns | None
    value: Type | None = None


_UNKNOWN = Source(columns=None)


@dataclass
class _Scope:
    sources: dict[str, Source] = field(default_factory=dict)
    ctes: dict[str, Source] = field(default_factory=dict)
    aliases: dict[str, Type | None] = field(default_factory=dict)
    parent: _Scope | None = None
    overriding: dict[str, Type | None] = field(default_factory=dict)  # aliases with names that FROM may have
    hidden: frozenset[str] = frozenset()  # aliases of the SELECT list while it is not complete
    merged: set[tuple[str, str]] = field(default_factory=set)  # sources and columns that USING merges into others

    def cte(self, name: str) -> Source | None:
        scope: _Scope | None = self
        while scope:
            if name in scope.ctes:
                return scope.ctes[name]
            scope = scope.parent
        return None

    def source(self, name: str) -> Source | None:
        scope: _Scope | None = self
        while scope:
            if name in scope.sources:
                return scope.sources[name]
            scope = scope.parent
        return None

    def column(self, name: str) -> tuple[bool, Type | None]:
        """Return whether the column is known to exist, and its type; the innermost scope that has it wins."""
        scope: _Scope | None = self
        while scope:
            if name in scope.aliases:
                return True, scope.aliases[name]
            for source in scope.sources.values():
                if source.columns is not None and name in source.columns.by_name:
                    return True, source.columns.by_name[name]
            if any(source.columns is None for source in scope.sources.values()):
                return False, None
            scope = scope.parent
        return False, None

    def may_have(self, name: str) -> bool:
        """Return whether a name may stand for a column or a source of this scope or of one around it."""
        scope: _Scope | None = self
        while scope:
            if name in scope.sources:
                return True
            if any(source.columns is None or name in source.columns.by_name for source in scope.sources.values()):
                return True
            scope = scope.parent
        return False

    def is_only_alias(self, name: str) -> bool:
        """Return whether a name can only be an alias of the SELECT list, where aliases have no meaning yet."""
        scope: _Scope | None = self
        found = False
        while scope:
            found = found or name in scope.hidden
            for source in scope.sources.values():
                if source.columns is None or name in source.columns.by_name:
                    return False
            if name in scope.aliases or name in scope.sources:
                return False
            scope = scope.parent
        return found


class Types:
    """The types of the nodes of one tree.

    Attributes:
        assignments: ids of the ``column = value`` nodes of UPDATE, which are no comparisons.
        results: the columns of the queries in set operations, expressions and INSERT, by the id of the node.
        joined: the types of the columns in USING of each join, left and right, by the id of its node.
        unresolved: columns that no source is known to have: of tables without a known schema, variables, or mistakes.
        early: names that can only be aliases of the SELECT list, where these have no meaning yet.
        overrides: whether aliases of the SELECT list stand where a column of FROM has the same name.
        pivoted: the columns of each source with PIVOT or UNPIVOT before it, by the id of its node.
        columns: the columns of a query's result; None for other statements, and if they are not known.
    """

    def __init__(self) -> None:
        self._types: dict[int, tuple[exp.Expression, Type | None]] = {}
        self.assignments: set[int] = set()
        self.results: dict[int, Columns | None] = {}
        self.joined: dict[int, list[tuple[str, Type | None, Type | None]]] = {}
        self.unresolved: list[exp.Column] = []
        self.early: list[str] = []
        self.overrides = False
        self.pivoted: dict[int, Columns | None] = {}
        self.columns: Columns | None = None

    def of(self, node: object) -> Type | None:
        """Return the type of a node; None if it is not known."""
        found = self._types.get(id(node))
        return found[1] if found else None

    def set(self, node: exp.Expression, kind: Type | None) -> None:
        """Record the type of a node."""
        self._types[id(node)] = (node, kind)  # the node is kept, so that no other node gets its id

    def common(self, nodes: Iterable[object]) -> Type | None:
        """Return the type that CASE, COALESCE, IN or an array of ``nodes`` has; None if it is not known.

        Literals give way to other expressions: FLOAT64 becomes NUMERIC, STRING becomes a date or time.
        """
        nodes = list(nodes)
        fixed = [self.of(node) for node in nodes if not self._adapts(node)]
        literals = [self.of(node) for node in nodes if self._adapts(node)]
        kind = types.supertype(fixed)
        if kind is None or kind == types.NULL:
            return types.supertype([*fixed, *literals])
        rest = [literal for literal in literals if not literal_fits(literal, kind)]
        return types.supertype([kind, *rest])

    def _adapts(self, node: object) -> bool:
        return is_literal(node) or (isinstance(node, exp.Parameter) and self.of(node) == types.STRING)


def is_literal(node: object) -> bool:
    """Return whether BigQuery treats a node as a literal, whose type adapts to its context."""
    while isinstance(node, exp.Paren | exp.Neg):
        node = node.this
    return isinstance(node, exp.Literal | exp.RawString | exp.Null)


def literal_fits(literal: Type | None, wanted: Type) -> bool:
    """Return whether a literal of type ``literal`` is read as a value of type ``wanted``."""
    if literal == types.STRING:
        return wanted in (types.STRING, types.DATE, types.DATETIME, types.TIME, types.TIMESTAMP)
    if literal == types.FLOAT64:
        return wanted in (types.NUMERIC, types.BIGNUMERIC, types.FLOAT64)
    return literal == types.INT64 and wanted in types.NUMBERS


def annotate(tree: exp.Expression, tables: Tables, parameters: Mapping[str, Type | None]) -> Types:
    """Return the types of a statement's expressions.

    Args:
        tree: the statement.
        tables: returns the columns of a table that the statement names.
        parameters: types of the named query parameters, by lower-case name.
    """
    annotator = _Annotator(tables, parameters)
    annotator.statement(tree)
    return annotator.types


def check_names(known: Types) -> None:
    """Refuse aliases where they have no meaning yet, and two columns of the same name in a result; names ignore case.

    Raises:
        ValidationError: in BigQuery's words.
    """
    columns = known.columns
    if known.early:
        raise invalid(f"Unrecognized name: {known.early[0]}")
    names = [name.lower() for name, _ in columns.pairs] if columns else []
    if "" in names:
        raise limit("name the columns that * makes of expressions and fields without names; name them in the query")
    if len(set(names)) < len(names):
        found = ", ".join(sorted({name for name in names if names.count(name) > 1}))
        raise invalid(f"Duplicate column names in the result are not supported. Found duplicate(s): {found}")


def _check_key(name: str, sources: Mapping[str, Source], side: str) -> None:
    """Refuse a column in USING that no source of a side has."""
    columns = [source.columns for source in sources.values()]
    known = [known.by_name for known in columns if known is not None]
    if len(known) == len(columns) and name.lower() not in sources and not any(name.lower() in one for one in known):
        raise invalid(f"Column {name} in USING clause not found on {side} side of join")


class _Annotator:
    def __init__(self, tables: Tables, parameters: Mapping[str, Type | None]) -> None:
        self.types = Types()
        self._tables = tables
        self._parameters = parameters

    def statement(self, tree: exp.Expression) -> None:
        scope = _Scope()
        if isinstance(tree, exp.Query):
            self.types.columns = self._query(tree, scope).columns
            return
        self._with(tree, scope)
        if isinstance(tree, exp.Update | exp.Delete | exp.Merge) and isinstance(tree.this, exp.Table):
            self._add_source(tree.this, scope)
        source = tree.args.get("using") if isinstance(tree, exp.Merge) else tree.args.get("from_")
        if isinstance(tree, exp.Update | exp.Merge) and source is not None:
            self._add_source(source.this if isinstance(source, exp.From) else source, scope)
        updates = [tree, *tree.find_all(exp.Update)] if isinstance(tree, exp.Update | exp.Merge) else []
        for update in updates:
            if isinstance(update, exp.Update):
                self.types.assignments.update(id(item) for item in update.expressions)
        for name, value in tree.args.items():
            if name not in ("with_", "this", "from_", "using"):
                self._all(value, scope)

    # --- Queries -----------------------------------------------------------------------------------------------------

    def _with(self, tree: exp.Expression, scope: _Scope) -> None:
        clause = tree.args.get("with_")
        for cte in clause.expressions if clause else ():
            inner = cte.this
            if clause.args.get("recursive") and isinstance(inner, exp.SetOperation):
                scope.ctes[cte.alias.lower()] = self._query(inner.left, scope)
            names = [column.name for column in cte.args["alias"].args.get("columns") or ()]
            scope.ctes[cte.alias.lower()] = _renamed(self._query(inner, scope), names)

    def _query(self, query: exp.Expression, outer: _Scope) -> Source:
        """Annotate a query and return its result as a source."""
        scope = _Scope(parent=outer)
        self._with(query, scope)
        if isinstance(query, exp.Subquery):
            result = self._query(query.this, scope)
        elif isinstance(query, exp.SetOperation):
            result = self._set_operation(query, scope)
        elif isinstance(query, exp.Select):
            return self._select(query, scope)
        else:
            result = _UNKNOWN
        scope.aliases.update(result.columns.by_name if result.columns else {})
        for name in ("order", "limit", "offset"):
            self._all(query.args.get(name), scope)
        return result

    def _set_operation(self, query: exp.SetOperation, scope: _Scope) -> Source:
        left, right = self._query(query.this, scope), self._query(query.expression, scope)
        self.types.results[id(query.this)], self.types.results[id(query.expression)] = left.columns, right.columns
        if left.columns is None or right.columns is None or len(left.columns.pairs) != len(right.columns.pairs):
            return _UNKNOWN
        pairs = zip(left.columns.pairs, right.columns.kinds, strict=True)
        return Source(Columns(tuple((name, types.supertype((one, other))) for (name, one), other in pairs)))

    def _select(self, query: exp.Select, scope: _Scope) -> Source:
        source = query.args.get("from_")
        if source:
            self._add_source(source.this, scope)
        self._add_joins(query, scope)
        aliased = [item for item in query.expressions if isinstance(item, exp.Alias)]
        scope.hidden = frozenset(item.alias.lower() for item in aliased)
        for name in ("where", "windows"):
            self._all(query.args.get(name), scope)
        self._all(query.expressions, scope)
        scope.hidden = frozenset()
        result = self._projection(query, scope)
        kind = query.args.get("kind")
        if kind == "STRUCT" and result.columns is not None:
            unnamed = {item.alias for item in query.expressions if item.meta.get(types.ANONYMOUS)}
            fields = (("" if name in unnamed else name, member) for name, member in result.columns.pairs)
            value = types.struct(fields)
            result = Source(Columns(value.fields), value)
        elif kind == "VALUE":
            first = self.types.of(query.expressions[0]) if len(query.expressions) == 1 else None
            result = Source(_fields(first), first)
        self._add_aliases(query, scope)
        for name in ("group", "having", "qualify", "order", "limit", "offset", "distinct"):
            self._all(query.args.get(name), scope)
        return result

    def _add_aliases(self, query: exp.Select, scope: _Scope) -> None:
        """Make the names of the SELECT list visible to the other clauses, where they override those of FROM."""
        named = [item for item in query.expressions if isinstance(item, exp.Alias)]
        kinds = {item.alias.lower(): self.types.of(item) for item in named}
        scope.overriding = {
            name: self.types.of(item) for name, item in selected_names(query).items() if scope.may_have(name)
        }
        scope.aliases.update(
            {name: kind for name, kind in kinds.items() if name not in scope.overriding or not scope.column(name)[0]}
        )
        if scope.overriding:
            self.types.overrides = mark_aliases(query, scope.overriding) or self.types.overrides

    def _projection(self, query: exp.Select, scope: _Scope) -> Source:
        columns: list[tuple[str, Type | None]] = []
        for number, item in enumerate(query.expressions):
            star = _star_of(item)
            if star is None:
                columns.append((item.alias_or_name or f"f{number}_", self.types.of(item)))
                continue
            expanded = self._star_columns(item, scope)
            if expanded is None:
                return _UNKNOWN
            dropped = {name.name.lower() for name in star.args.get("except_") or ()}
            replaced = {item.alias.lower(): self.types.of(item) for item in star.args.get("replace") or ()}
            columns.extend(
                (name, replaced.get(name.lower(), kind)) for name, kind in expanded if name.lower() not in dropped
            )
        return Source(Columns(tuple(columns)))

    def _star_columns(self, item: exp.Expression, scope: _Scope) -> list[tuple[str, Type | None]] | None:
        if isinstance(item, exp.Star):
            return self._all_columns(scope)
        sources: Iterable[Source]
        if isinstance(item, exp.Column) and (source := scope.source(item.table.lower())):
            sources = [source]
        else:
            value = self.types.of(item.this if isinstance(item, exp.Dot) else item)
            sources = [Source(_fields(value))]
        found: list[tuple[str, Type | None]] = []
        for source in sources:
            if source.columns is None:
                return None
            found.extend(source.columns.pairs)
        return found

    def _all_columns(self, scope: _Scope) -> list[tuple[str, Type | None]] | None:
        """Return the columns of ``*``: columns in USING once."""
        found: list[tuple[str, Type | None]] = []
        for name, source in scope.sources.items():
            if source.columns is None:
                return None
            found.extend(pair for pair in source.columns.pairs if (name, pair[0].lower()) not in scope.merged)
        return found

    # --- FROM --------------------------------------------------------------------------------------------------------

    def _add_joins(self, node: exp.Expression, scope: _Scope) -> None:
        for join in node.args.get("joins") or ():
            before = dict(scope.sources)
            self._add_source(join.this, scope)
            self._all(join.args.get("on"), scope)
            added = {name: source for name, source in scope.sources.items() if name not in before}
            keys = [key.name.lower() for key in join.args.get("using") or ()]
            for key in join.args.get("using") or ():
                _check_key(key.name, before, "left")
                _check_key(key.name, added, "right")
            scope.merged.update((name, key) for name in added for key in keys)
            self.types.joined[id(join)] = [
                (key.name, _column_of(before, key.name), _column_of(added, key.name))
                for key in join.args.get("using") or ()
            ]
        for lateral in node.args.get("laterals") or ():
            scope.sources[lateral.alias_or_name.lower() or str(id(lateral))] = _UNKNOWN

    def _add_source(self, node: exp.Expression, scope: _Scope) -> None:
        if isinstance(node, exp.Subquery) and not isinstance(node.this, exp.Query):
            self._add_source(node.this, scope)  # a join in parentheses
            self._add_joins(node, scope)
            return
        name = _alias(node).lower() or str(id(node))
        source = self._source(node, scope)
        if node.args.get("pivots"):
            self.types.pivoted[id(node)] = source.columns
            source = _UNKNOWN
        scope.sources[name] = source
        for item in ("pivots", "sample"):
            self._all(node.args.get(item), scope)
        if isinstance(node, exp.Unnest) and isinstance(node.args.get("offset"), exp.Identifier):
            offset = node.args["offset"].name.lower()
            scope.sources[f"offset {offset}"] = Source(Columns(((offset, types.INT64),)))
        self._add_joins(node, scope)

    def _source(self, node: exp.Expression, scope: _Scope) -> Source:
        if isinstance(node, exp.Query):
            return self._query(node, scope)
        if isinstance(node, exp.Unnest):
            self._all(node.expressions, scope)
            kind = self.types.of(node.expressions[0]) if node.expressions else None
            return _unnested(kind, _alias(node))
        if not isinstance(node, exp.Table):
            self._all(node.args.get("expressions"), scope)
            return _UNKNOWN
        if isinstance(node.this, exp.Func):
            self._all(node.this.expressions, scope)
            return Source(self._tables(node))
        if not node.db:
            return scope.cte(node.name.lower()) or _UNKNOWN
        parent = scope.source(node.db.lower()) if not node.catalog else None
        if parent is not None:  # FROM t, t.array_column, also in a subquery
            kind = parent.columns.by_name.get(node.name.lower()) if parent.columns else None
            self.types.set(node, kind)
            return _unnested(kind, node.alias_or_name)
        return Source(self._tables(node))

    # --- Expressions -------------------------------------------------------------------------------------------------

    def _all(self, value: object, scope: _Scope) -> None:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, exp.Expression):
                self._expression(item, scope)

    def _expression(self, root: exp.Expression, scope: _Scope) -> None:
        """Annotate an expression from its leaves to its root, without recursion: chains of OR may be long."""
        for node in _leaves_first(root):
            if isinstance(node, exp.Query):
                result = self._query(node, scope)
                self.types.results[id(node)] = result.columns
                columns = result.columns.kinds if result.columns else []
                kind = result.value or (columns[0] if len(columns) == 1 else None)
            elif isinstance(node, exp.Column):
                kind = self._column(node, scope)
            elif isinstance(node, exp.Parameter):
                kind = self._parameters.get(node.name.lower())
            else:
                kind = type_of_function(node, self.types)
            self.types.set(node, kind)

    def _column(self, node: exp.Column, scope: _Scope) -> Type | None:
        first, *rest = [part.name for part in node.parts]
        if is_alias(node) and first.lower() in scope.overriding:
            return scope.overriding[first.lower()]
        known, kind = scope.column(first.lower())
        if not known and scope.is_only_alias(first.lower()):
            self.types.early.append(first)
        source = scope.source(first.lower())
        if source is None and not known:
            self.types.unresolved.append(node)
        if source is not None and (rest or not known):
            value = source.value
            if rest and (source.columns is not None and rest[0].lower() in source.columns.by_name):
                kind, rest = source.columns.by_name[rest[0].lower()], rest[1:]
            elif value is not None:
                kind = value
            else:
                return types.struct(source.columns.pairs) if source.columns is not None and not rest else None
        if rest == ["*"]:
            return kind  # all fields of a struct
        for name in rest:
            kind = types.JSON if kind == types.JSON else kind.member(name) if kind else None
        return kind


def _leaves_first(root: exp.Expression) -> Iterator[exp.Expression]:
    """Yield the nodes of an expression, children before parents; subqueries are one node."""
    nodes = list(root.walk(prune=lambda node: isinstance(node, exp.Query | exp.DataType)))
    return reversed(nodes)  # type: ignore[arg-type]


def _column_of(sources: Mapping[str, Source], name: str) -> Type | None:
    """Return the type of a column of one of the sources; None if it is not known."""
    kinds = [source.columns.by_name.get(name.lower()) for source in sources.values() if source.columns]
    return next((kind for kind in kinds if kind is not None), None)


def _alias(node: exp.Expression) -> str:
    """Return the name of a source; that of UNNEST is parsed as the name of its column."""
    columns = node.alias_column_names if isinstance(node, exp.Unnest) else []
    return node.alias_or_name or (columns[0] if columns else "")


def _star_of(item: exp.Expression) -> exp.Star | None:
    if isinstance(item, exp.Column | exp.Dot):
        last = item.this if isinstance(item, exp.Column) else item.expression
        return last if isinstance(last, exp.Star) else None
    return item if isinstance(item, exp.Star) else None


def _renamed(source: Source, names: list[str]) -> Source:
    if not names or source.columns is None or len(names) != len(source.columns.pairs):
        return source
    return Source(Columns(tuple(zip(names, source.columns.kinds, strict=True))), source.value)


def _fields(kind: Type | None) -> Columns | None:
    """Return the fields of a STRUCT as columns."""
    return Columns(kind.fields) if kind and kind.name == "STRUCT" else None


def _unnested(kind: Type | None, alias: str) -> Source:
    """Return the source that UNNEST of an array makes."""
    element = kind.element if kind and kind.name == "ARRAY" else None
    if element is None:
        return _UNKNOWN
    if element.name == "STRUCT":
        return Source(Columns(element.fields), element)
    return Source(Columns(((alias, element),) if alias else ()), element)
