"""Guards: the derived table that shows what a tool may see of a relation, and nothing else.

    SELECT t."id",
           CASE WHEN k."email_campaign" OPERATOR(pg_catalog.>) pg_catalog.statement_timestamp()
                THEN t."email" ELSE CAST(<mask> AS character varying(254)) END AS "email", …
      FROM "crm"."customers" AS t
      LEFT JOIN "consent"."subject" AS k
        ON (k."subject_id" OPERATOR(pg_catalog.=) t."id")
       AND (k."email_campaign" OPERATOR(pg_catalog.>) pg_catalog.statement_timestamp())

Why it is sound (measured, research/rewriting.md 3.5 and 4):
* a CASE is never taken apart: PostgreSQL pushes the whole of it, never the bare column;
* a guard that removes rows is fenced by OFFSET '0', or a tool's condition would be evaluated on
  removed rows and print them in an error; so is one over a view that is no security barrier,
  for the rows that the view leaves out; and its columns have no statistics for the planner;
* one LEFT JOIN on a unique key keeps one row per row, and is dropped where no guarded column is
  read; EXISTS or IN inside the CASE would be 10 to 40 times slower;
* the CASE decides. That it is asked of nobody whose row of the ledger would not change its answer
  only makes the join smaller: fewer keys are hashed;
* every name, function and operator is schema-qualified: nothing depends on a tool's settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar, assert_never

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from proxy.consent.names import SCHEMA as CONSENT
from proxy.consent.names import SUBJECT_KEY, SUBJECT_TABLE, subject_column
from proxy.errors import InvariantError
from proxy.policy.decide import Absent, ColumnVerdict, Guarded, Masked, RelationVerdict, Shown
from proxy.policy.model import (
    AgeRule,
    Basis,
    Mask,
    NoSubject,
    Policy,
    RelationName,
    SourceRule,
    SubjectAll,
    SubjectColumn,
    SubjectVia,
)
from proxy.rewrite.masks import column_type_shown, shown_expression
from proxy.rewrite.masks_terms import call, case, cast, cast_to, literal, operate, text
from proxy.sql.catalog import Catalog, Column, ColumnType, Relation
from proxy.sql.kept import Kept

# Types whose operators with statistics are all comparisons, which never fail: keys and times keep
# good plans.
COMPARED_SAFELY = frozenset(
    "int2 int4 int8 float4 float8 numeric bool date timestamp timestamptz uuid".split()
)
# Within these, years off the ends of PostgreSQL's timestamps, every zone's offset fits.
_EARLIEST: Final = "4700-01-01 BC"
_LATEST: Final = "294000-01-01"
_Query = TypeVar("_Query", bound=exp.Query)
_ONCE: Final = "m"  # the item of cells that are computed once; no alias of another is the same
HOPS_MAX = 4  # policy-language.md: a `via` path has at most four hops


# --- building blocks -------------------------------------------------------------------------


def identifier(name: str) -> exp.Identifier:
    return exp.Identifier(this=name, quoted=True)


def column(name: str, table: str) -> exp.Column:
    return exp.Column(this=identifier(name), table=exp.Identifier(this=table, quoted=False))


def relation(name: RelationName, alias: str) -> exp.Table:
    return exp.Table(
        this=identifier(name.name),
        db=identifier(name.schema),
        alias=exp.TableAlias(this=exp.Identifier(this=alias, quoted=False)),
    )


def joined(conditions: Sequence[exp.Expr], connector: type[exp.And | exp.Or]) -> exp.Expr:
    """The conditions joined by AND or OR, each in parentheses. At least one."""
    result: exp.Expr | None = None
    for condition in conditions:
        wrapped = exp.Paren(this=condition)
        result = wrapped if result is None else connector(this=result, expression=wrapped)
    if result is None:
        raise InvariantError("a condition without parts")
    return result


# It starts afresh with each tree; to make one takes as long as to print a short guard.
_PRINTER: Final = Dialect.get_or_raise("postgres").generator(
    comments=False, normalize_functions=False
)


def sql_text(tree: exp.Expr) -> str:
    """A guard as text. Only trees that we built come here, never a tool's."""
    return _PRINTER.generate(tree)


def fenced(query: _Query) -> _Query:
    """The query, through which no condition is pushed. It is changed.

    The 0 is written as text of no type, which is a constant before planning: PostgreSQL takes
    `OFFSET 0`, an int4 to be cast, for a true OFFSET while it decides on parallel plans (measured).
    """
    query.set("offset", exp.Offset(expression=literal("0")))
    return query


# --- in force --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Person:
    """One data subject of a row, and where a guard reads until when purposes are in force.

    `alias` stands for the person's row of `consent.subject`; or for a table that repeats it, whose
    columns `kept` names.
    """

    key: exp.Column
    alias: str
    kept: Kept | None

    def is_in_force(self, ledger_column: str) -> exp.Expr:
        """True while it is; NULL or false if not, or if nothing is known of the person."""
        own = ledger_column if self.kept is None else self.kept.columns[ledger_column]
        return operate(column(own, self.alias), ">", call("statement_timestamp"))

    def is_of_a_member(self, kept: Kept) -> exp.Expr:
        """Is the row of one of the tables that were seen to be in step? One that took the name
        since, or became a partition, may hold copies of any age.
        """
        oids = [cast(literal(str(member)), "oid") for member in kept.members]
        own = column("tableoid", self.alias)
        return joined([operate(own.copy(), "=", oid) for oid in oids], exp.Or)


@dataclass(slots=True)
class _Joins:
    """The joins that lead from a row to its data subjects, and to their rows of the ledger."""

    joins: list[exp.Join]
    people: list[_Person]


def _left_join(table: exp.Table, on: exp.Expr) -> exp.Join:
    return exp.Join(this=table, side="LEFT", on=on)


def _subject_joins(
    policy: Policy, catalog: Catalog, purpose: str, verdict: RelationVerdict
) -> _Joins:
    found = _Joins([], [])
    way = _Way(policy, catalog, purpose, verdict, found)
    match verdict.subject:
        case NoSubject():
            pass
        case SubjectColumn() | SubjectVia():
            way.follow(verdict.relation, verdict.subject)
        case SubjectAll():
            for each in verdict.subject.subjects:
                way.follow(verdict.relation, each)
        case _:
            assert_never(verdict.subject)
    return found


def _asked_columns(purpose: str, verdict: RelationVerdict) -> frozenset[str]:
    """The columns of `consent.subject` that the relation's cells and rows may ask for."""
    cells = [cell for _, cell in verdict.columns if isinstance(cell, Guarded)]
    own = {each for cell in cells if (each := _own_grant(cell)) is not None}
    return frozenset({subject_column(purpose), *(subject_column(purpose, each) for each in own)})


@dataclass(frozen=True, slots=True)
class _Way:
    """From a relation's rows to their data subjects."""

    policy: Policy
    catalog: Catalog
    purpose: str
    verdict: RelationVerdict
    found: _Joins

    def follow(self, relation_name: RelationName, subject: SubjectColumn | SubjectVia) -> None:
        alias = "t"
        for _ in range(HOPS_MAX + 1):
            if isinstance(subject, SubjectColumn):
                self._arrive(relation_name, alias, column(subject.column, alias), subject.column)
                return
            hop = f"h{len(self.found.joins)}"
            self.found.joins.append(
                _left_join(
                    relation(subject.target.relation, hop),
                    operate(column(subject.target.column, hop), "=", column(subject.column, alias)),
                )
            )
            alias = hop
            relation_name = subject.target.relation
            following = self.policy.relations[relation_name].subject
            if not isinstance(following, SubjectColumn | SubjectVia):
                raise InvariantError(f"{subject.target} leads to no single data subject")
            subject = following
        raise InvariantError("a subject's path has too many hops")

    def _arrive(self, relation_name: RelationName, alias: str, key: exp.Column, name: str) -> None:
        kept = self._kept(relation_name, name)
        ledger = alias if kept is not None else f"k{len(self.found.people)}"
        person = _Person(key, ledger, kept)
        self.found.people.append(person)
        if kept is None:
            is_own = operate(column(SUBJECT_KEY, ledger), "=", key)
            conditions = [is_own, *self._matters(person)]
            table = relation(RelationName(CONSENT, SUBJECT_TABLE), ledger)
            self.found.joins.append(_left_join(table, joined(conditions, exp.And)))

    def _matters(self, person: _Person) -> Iterable[exp.Expr]:
        """Which rows of the ledger can say something else than that there is none."""
        is_in_force = person.is_in_force(subject_column(self.purpose))
        if self.policy.purposes[self.purpose].basis is not Basis.CONSENT:
            # A separate grant can stand in any row.
            if len(_asked_columns(self.purpose, self.verdict)) == 1:
                yield exp.Not(this=exp.Paren(this=is_in_force))
        elif not self.verdict.is_consented_only:
            # There the guard's WHERE says it, and twice it would count for the square of the share.
            yield is_in_force

    def _kept(self, relation_name: RelationName, key: str) -> Kept | None:
        """What the table itself has of the ledger, if that is all that is asked for."""
        rule = self.policy.relations[relation_name]
        database = self.catalog.relations.get(relation_name)
        kept = None if database is None else database.kept
        if not rule.is_consent_in_table or kept is None or kept.key != key:
            return None
        asked = _asked_columns(self.purpose, self.verdict)
        return kept if kept.columns.keys() >= asked and kept.members else None


def _in_force(policy: Policy, purpose: str, found: _Joins, sensitive: str | None) -> exp.Expr:
    """Is the purpose in force for every data subject of the row? True, false or NULL."""
    basis = policy.purposes[purpose].basis
    conditions: list[exp.Expr] = []
    for person in found.people:
        until = person.is_in_force(subject_column(purpose))
        if person.kept is not None:
            # Whatever the basis: the copy of a person whom the ledger does not know is the
            # purpose's default, and NULL where there is no person.
            conditions += [until, person.is_of_a_member(person.kept)]
        elif basis is Basis.CONSENT:
            conditions.append(until)
        else:
            # Needs no grant: a person whom the ledger does not know is in force, but there must
            # be a person at all (policy-language.md, rule 4).
            conditions.append(exp.Not(this=exp.Is(this=person.key.copy(), expression=exp.Null())))
            conditions.append(
                exp.Not(this=exp.Paren(this=exp.Is(this=until, expression=exp.false())))
            )
        if sensitive is not None:
            conditions.append(person.is_in_force(subject_column(purpose, sensitive)))
    return joined(conditions, exp.And)


# --- row rules -------------------------------------------------------------------------------


def _source_condition(rule: SourceRule) -> exp.Expr:
    if not rule.allow:
        return exp.false()
    return joined(
        [operate(column(rule.column, "t"), "=", literal(value)) for value in rule.allow], exp.Or
    )


def _age_condition(rule: AgeRule, direction: str, type_: ColumnType) -> exp.Expr:
    """`column > now − duration` (keep) or `<` (quiet); durations are exact seconds."""
    value: exp.Expr = column(rule.column, "t")
    if rule.zone is not None:
        value = _instant(value, rule.zone, type_)
    age = cast(literal(f"{rule.seconds} seconds"), "interval")
    return operate(value, direction, operate(call("statement_timestamp"), "-", age))


def _instant(value: exp.Expr, zone: str, type_: ColumnType) -> exp.Expr:
    """A date or timestamp of a zone as an instant; far beyond its range, infinitely far.

    The conversion itself fails for values that a timestamptz can not hold, and a statement that
    fails because of a row that it must not know of would tell of it.
    """
    local = cast(value, "timestamp") if type_.base == "date" else value
    return case(
        (operate(value, ">", cast(literal(_LATEST), type_.base)), _endless("infinity")),
        (operate(value, "<", cast(literal(_EARLIEST), type_.base)), _endless("-infinity")),
        default=call("timezone", text(zone), local),
    )


def _endless(value: str) -> exp.Expr:
    return cast(literal(value), "timestamptz")


# --- the guard -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownColumn:
    """A column of a guard: what the tool sees of it."""

    name: str
    type: ColumnType
    verdict: ColumnVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A guard before it is printed: push-down may add conditions to it."""

    verdict: RelationVerdict
    relation: Relation
    columns: tuple[ShownColumn, ...]
    select: exp.Select
    removes_rows: bool


def build_guard(
    policy: Policy,
    catalog: Catalog,
    verdict: RelationVerdict,
    *,
    tool: str,
    purpose: str,
    wanted: frozenset[str] | None = None,
) -> Guard:
    """The guard of one relation of the policy, for a tool and purpose.

    `wanted` names the columns that the statement mentions (None: it may take whole rows). Others
    are left out: nothing can refer to them, and a short guard is read faster, by us and by
    PostgreSQL. Should a column be left out by mistake, the statement fails.
    """
    database = catalog.relations[verdict.relation]
    found = _subject_joins(policy, catalog, purpose, verdict)
    conditions = list(_row_conditions(policy, purpose, found, verdict, database))
    # A view leaves rows out too: a tool's condition must not meet those either.
    removes_rows = bool(conditions) or database.is_open_view
    shown: list[ShownColumn] = []
    expressions: list[exp.Expr] = []
    for each, cell in zip(database.columns, verdict.columns, strict=True):
        name, column_verdict = cell
        if name != each.name:
            raise InvariantError("a verdict is not in table order")
        if isinstance(column_verdict, Absent):
            continue
        type_ = column_type_shown(column_verdict, each.type)
        shown.append(ShownColumn(name=name, type=type_, verdict=column_verdict))
        if wanted is not None and name not in wanted:
            continue
        value = _cell(policy, purpose, tool, found, each, type_, column_verdict)
        if removes_rows and isinstance(column_verdict, Shown):
            value = _without_statistics(value, type_)
        expressions.append(exp.Alias(this=value, alias=identifier(name)))
    if not expressions:
        # `SELECT count(*) FROM t`: rows without columns.
        expressions.append(exp.Alias(this=exp.Null(), alias=identifier("?")))
    select = exp.Select(expressions=expressions).from_(relation(verdict.relation, "t"))
    # Where nothing asks for the person, PostgreSQL would drop the joins after planning them.
    is_asked = verdict.is_consented_only or any(
        isinstance(each.verdict, Guarded) and (wanted is None or each.name in wanted)
        for each in shown
    )
    for join in found.joins if is_asked else ():
        select = select.join(join, copy=False)
    if conditions:
        select = select.where(joined(conditions, exp.And), copy=False)
    return Guard(
        verdict=verdict,
        relation=database,
        columns=tuple(shown),
        select=fenced(select) if removes_rows else select,
        removes_rows=removes_rows,
    )


def computing_once(guard: Guard, names: frozenset[str]) -> exp.Select:
    """The guard's query, in which cells of these columns are computed once for a row, however often
    the statement reads them.

    PostgreSQL puts a derived table's expressions wherever they are read: the mask of
    `count(email), max(email)` is made twice. Those of a LATERAL item that may have no row are
    made once, below, and carried upwards. It has one, and is no step of the plan; nor is it a
    fence, which would keep conditions out.
    """
    select = guard.select.copy()
    cells: list[exp.Expr] = []
    for alias in select.expressions:
        if alias.alias_or_name in names:
            cells.append(alias.copy())
            alias.set("this", column(alias.alias_or_name, _ONCE))
    once = exp.Lateral(
        this=exp.Subquery(this=exp.Select(expressions=cells)),
        alias=exp.TableAlias(this=exp.Identifier(this=_ONCE, quoted=False)),
    )
    return select.join(exp.Join(this=once, side="LEFT", on=exp.true()), copy=False)


def computed(guard: Guard) -> frozenset[str]:
    """The guard's columns that are expressions."""
    return frozenset(
        each.alias_or_name
        for each in guard.select.expressions
        if not isinstance(each.this, exp.Column | exp.Null)
    )


def _without_statistics(value: exp.Expr, type_: ColumnType) -> exp.Expr:
    """The value, as an expression of which the planner has no statistics.

    It looks through the fence at a bare column, and evaluates a tool's LIKE on the most common
    values of all rows while it plans: a pattern that ends in a backslash failed if one of the
    removed rows began as the pattern does (measured). Comparisons of the safe types never fail.
    """
    if type_.schema == "pg_catalog" and type_.base in COMPARED_SAFELY:
        return value
    is_true = exp.Not(this=exp.Is(this=call("statement_timestamp"), expression=exp.Null()))
    return exp.Case(ifs=[exp.If(this=is_true, true=value)], default=cast_to(exp.Null(), type_))


def _cell(
    policy: Policy,
    purpose: str,
    tool: str,
    found: _Joins,
    each: Column,
    type_: ColumnType,
    verdict: ColumnVerdict,
) -> exp.Expr:
    def branch(mask: Mask | None) -> exp.Expr:
        return shown_expression(
            mask, column(each.name, "t"), each.type, type_, tool=tool, purpose=purpose
        )

    match verdict:
        case Shown():
            return column(each.name, "t")
        case Masked():
            return branch(verdict.mask)
        case Guarded():
            condition = _in_force(policy, purpose, found, _own_grant(verdict))
            return exp.Case(
                ifs=[exp.If(this=condition, true=branch(verdict.through))],
                default=branch(verdict.mask),
            )
        case Absent():
            raise InvariantError("an absent column has no cell")
        case _:
            assert_never(verdict)


def _own_grant(verdict: Guarded) -> str | None:
    """The category whose separate grant a cell needs: the column's own, if it is sensitive. A
    grant that names a category above it is written into its column by the ledger.
    """
    return verdict.category if verdict.sensitive is not None else None


def in_force(
    policy: Policy, catalog: Catalog, purpose: str, verdict: RelationVerdict, cell: Guarded | None
) -> exp.Expr:
    """The condition under which a cell (or, without one, a row) is in force, inside its guard."""
    found = _subject_joins(policy, catalog, purpose, verdict)
    return _in_force(policy, purpose, found, None if cell is None else _own_grant(cell))


def _row_conditions(
    policy: Policy,
    purpose: str,
    found: _Joins,
    verdict: RelationVerdict,
    database: Relation,
) -> Iterable[exp.Expr]:
    if verdict.is_consented_only:
        yield _in_force(policy, purpose, found, None)
    if verdict.source is not None:
        yield _source_condition(verdict.source)
    for rule, direction in ((verdict.keep, ">"), (verdict.quiet, "<")):
        if rule is not None:
            age_column = database.column(rule.column)
            if age_column is None:
                raise InvariantError(f"{verdict.relation} has no column {rule.column}")
            yield _age_condition(rule, direction, age_column.type)
