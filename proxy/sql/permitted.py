"""What a statement may name beyond PostgreSQL's own: reviewed extensions that the policy switches
on, and functions that it names.

A statement is checked before types are known. So a call is allowed only if *every* function is
that it could reach, and a name is PostgreSQL's own only if nothing of the database's could be
taken for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from proxy.policy.model import FunctionName, Policy
from proxy.sql.catalog import Catalog
from proxy.sql.functions import is_function_allowed, is_operator_allowed
from proxy.sql.lists.files import (
    ALLOWED,
    Signature,
    extension_classes,
    extension_names,
    refusals,
)
from proxy.sql.members import Member, Members, OwnType, Routine

_PG_CATALOG = "pg_catalog"
_M = TypeVar("_M", bound=Member)


class Permitted:
    """The answers for one policy and one catalog."""

    def __init__(self, policy: Policy, catalog: Catalog) -> None:
        self._extensions = policy.extensions
        self._functions = frozenset(policy.functions)
        self._catalog = catalog
        members = catalog.members or Members()
        # Where PostgreSQL looks up what is not qualified, whatever path a tool has chosen.
        self._path = frozenset((*policy.schemas, _PG_CATALOG))
        self._routines = _by_name(members.routines)
        self._operators = _by_name(members.operators)
        self._namesakes: dict[str, list[tuple[int, int]]] = {}
        for name, least, most in members.namesakes:
            self._namesakes.setdefault(name, []).append((least, most))
        types = list(_listed_types(policy, catalog))
        self._types = {(each.schema, each.name) for each in types}
        self.types = _oids(types)

    # --- functions ---

    def shadows_function(self, schema: str | None, name: str, count: int) -> bool:
        """Whether a call of PostgreSQL's own `name` could reach a function that is not allowed."""
        if self._catalog.members is None:
            return schema is None and name in self._catalog.shadowed_functions
        return any(
            not self._is_harmless(each)
            and (each.least <= count <= each.most or not self._is_on(each))
            for each in self._routines.get(name, ())
            if _is_meant(each, schema, self._path)
        )

    def shadowed(self, names: Iterable[str]) -> frozenset[str]:
        """Names of PostgreSQL's own functions that may not be called unqualified."""
        return frozenset(
            name
            for name in names
            if any(
                _is_meant(each, None, self._path)
                and not self._is_harmless(each)
                and not self._is_on(each)
                for each in self._routines.get(name, ())
            )
        )

    def allows_call(self, schema: str | None, name: str, count: int) -> bool:
        """Whether a call reaches functions of the database's own, and allowed ones only."""
        reached = [each for each in self._reached(schema, name, count) if self._is_possible(each)]
        if schema is None:
            # Qualified is how a function that the policy names must be written; and pg_catalog's
            # function of this name is looked at first.
            if self.shadows_function(None, name, count) or self._reaches_refused(name, count):
                return False
            return any(self._is_listed(each) for each in reached)
        if schema == _PG_CATALOG or not reached:
            return False
        return all(self._is_listed(each) or self.is_named(each) for each in reached)

    def calls_named(self, schema: str | None, name: str, count: int) -> bool:
        """Whether the call may run a function that the policy names: code of the database's own."""
        return any(self.is_named(each) for each in self._reached(schema, name, count))

    def why_not(self, schema: str | None, name: str, count: int) -> str:
        """What to say of a call that is not allowed; "" where nothing is known of it."""
        for each in self._routines.get(name, ()):
            is_meant = schema in (None, each.schema) and each.least <= count <= each.most
            reason = self._why_not(each) if is_meant else ""
            if reason:
                return reason
        return ""

    def is_named(self, routine: Routine) -> bool:
        """Whether the policy names exactly this function, and it is one that may be named."""
        return function_name(routine) in self._functions and not any(unfit(routine))

    def _reached(self, schema: str | None, name: str, count: int) -> list[Routine]:
        return [
            each
            for each in self._routines.get(name, ())
            if each.least <= count <= each.most and _is_meant(each, schema, self._path)
        ]

    def _reaches_refused(self, name: str, count: int) -> bool:
        has_namesake = any(least <= count <= most for least, most in self._namesakes.get(name, ()))
        return has_namesake and not is_function_allowed(None, name, count)

    def _why_not(self, routine: Routine) -> str:
        function = function_name(routine)
        if function in self._functions:
            return "; ".join(unfit(routine))
        if self._is_on(routine):
            found = extension_classes(routine.extension).get(_signature(routine), "")
            reason = refusals(routine.extension).get(found, "it is not on the extension's list")
            return f"of the extension {routine.extension}: {reason}"
        if routine.extension in extension_names():
            return f"the policy does not switch the extension {routine.extension} on"
        if routine.extension:
            return f"of the extension {routine.extension}, of which there is no reviewed list"
        return ""

    # --- operators ---

    def allows_operator(self, schema: str | None, name: str) -> bool:
        """Whether every operator that the name could reach is allowed, and there is one."""
        if self._catalog.members is None:
            is_shadowed = schema is None and name in self._catalog.shadowed_operators
            return not is_shadowed and is_operator_allowed(schema, name)
        found = [
            each for each in self._operators.get(name, ()) if _is_meant(each, schema, self._path)
        ]
        if not all(map(self._is_harmless, found)):
            return False
        return is_operator_allowed(schema, name) or any(map(self._is_listed, found))

    # --- types ---

    def allows_type(self, schema: str | None, name: str) -> bool:
        """Whether a cast may name the extension's type, or an array of it."""
        element = name.removesuffix("[]").rstrip()
        names = (element, element.removeprefix("_"))
        if schema is not None:
            return any((schema, each) in self._types for each in names)
        if element in self._catalog.shadowed_types:
            return False
        return any((place, each) in self._types for place in self._path for each in names)

    # --- members ---

    def _is_on(self, member: Member) -> bool:
        return _is_on(self._extensions, member)

    def _is_listed(self, member: Member) -> bool:
        return _is_listed(self._extensions, member)

    def _is_possible(self, member: Member) -> bool:
        """An extension that is off brings no values of its own types: nobody can cast to them, and
        a relation with such a column is out of service.
        """
        is_off = member.extension != "" and not self._is_on(member)
        return not (is_off and any(map(self._is_off_type, member.arguments)))

    def _is_off_type(self, name: str) -> bool:
        """Whether it is a type of an extension that is off (names as in type_names.py)."""
        extension, dot, _ = name.partition(".")
        return dot == "." and not name.endswith("?") and extension not in self._extensions

    def _is_harmless(self, member: Member) -> bool:
        return self._is_listed(member) or not self._is_possible(member)


def extension_types(policy: Policy, catalog: Catalog) -> frozenset[int]:
    """Types of extensions, and of arrays of them, that columns may have."""
    return _oids(_listed_types(policy, catalog))


def unfit(routine: Routine) -> Iterator[str]:
    """Why a policy may not name a function."""
    if routine.kind == "procedure" or routine.is_internal:
        yield "it can not be called in a query"
    if routine.is_definer:
        yield "it runs with its owner's rights (SECURITY DEFINER)"
    if routine.volatility == "v":
        yield "it is VOLATILE: declared STABLE or IMMUTABLE, it can change nothing"


def _is_on(extensions: Mapping[str, str], member: Member) -> bool:
    """The policy switches its extension on, where it stands."""
    return extensions.get(member.extension) == member.schema


def _is_listed(extensions: Mapping[str, str], member: Member) -> bool:
    """Of an extension that is on, proven to be its own, and on the extension's list."""
    if not _is_on(extensions, member) or not member.is_proven:
        return False
    return extension_classes(member.extension).get(_signature(member)) in ALLOWED


def _listed_types(policy: Policy, catalog: Catalog) -> Iterator[OwnType]:
    for each in (catalog.members or Members()).types:
        # A cast that somebody added to it runs code that no text names.
        if _is_listed(policy.extensions, each) and each.oid not in catalog.converted_types:
            yield each


def _oids(types: Iterable[OwnType]) -> frozenset[int]:
    return frozenset(oid for each in types for oid in (each.oid, each.array)) - {0}


def function_name(routine: Routine) -> FunctionName:
    return FunctionName(schema=routine.schema, name=routine.name, arguments=routine.printed)


def _is_meant(member: Member, schema: str | None, path: frozenset[str]) -> bool:
    return member.schema in path if schema is None else member.schema == schema


def _signature(member: Member) -> Signature:
    if member.kind == "type":
        return Signature("type", f"{member.extension}.{member.name}")
    return Signature(member.kind, member.name, member.arguments)


def _by_name(members: Iterable[_M]) -> Mapping[str, Sequence[_M]]:
    found: defaultdict[str, list[_M]] = defaultdict(list)
    for member in members:
        found[member.name].append(member)
    return dict(found)
