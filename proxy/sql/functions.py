"""Which functions, operators and types a tool's statement may name: the lists under lists/.

Whatever is on no list is refused. How a name gets on a list is docs/reference/lists.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from proxy.sql.catalog import Catalog

# The newest PostgreSQL whose functions were looked at (lists/classes.txt).
LISTED_VERSION_MAX: Final = 18

# Allowed only if their first argument is a literal that `settings.py` allows; the caller looks at
# the arguments. Not on the list itself: who forgets to look refuses.
ARGUMENT_CHECKED: Final = frozenset(
    {("current_setting", 1), ("current_setting", 2), ("set_config", 3)}
)

# JDBC's getPrimaryKeys and getIndexInfo unnest index keys with it; it only computes on its array.
_INFORMATION_SCHEMA_FUNCTIONS: Final = frozenset({("_pg_expandarray", 1)})

# PostgreSQL's grammar turns these spellings into the name on the right (gram.y, ConstTypename).
_SPELLINGS: Final[Mapping[str, str]] = {
    "bigint": "int8",
    "bit varying": "varbit",
    "boolean": "bool",
    "character": "bpchar",
    "character varying": "varchar",
    "dec": "numeric",
    "decimal": "numeric",
    "double precision": "float8",
    "float": "float8",
    "int": "int4",
    "integer": "int4",
    "national character": "bpchar",
    "national character varying": "varchar",
    "nchar": "bpchar",
    "real": "float4",
    "smallint": "int2",
    "time with time zone": "timetz",
    "time without time zone": "time",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
}

# Variadic functions have no upper bound of their own; PostgreSQL's is 100 (FUNC_MAX_ARGS).
_ENDLESS: Final = 100

Counts = tuple[tuple[int, int], ...]


def _lines(name: str) -> list[str]:
    text = (files("proxy.sql.lists") / name).read_text(encoding="utf-8")
    # Not every line that begins with # is a comment: # is an operator.
    return [line for line in text.splitlines() if line and not line.startswith("# ")]


def _counts(text: str) -> Counts:
    """`0,2-3,5+` as pairs of least and most."""
    pairs = []
    for part in text.split(","):
        least, dash, most = part.partition("-")
        if part.endswith("+"):
            pairs.append((int(part[:-1]), _ENDLESS))
        else:
            pairs.append((int(least), int(most if dash else least)))
    return tuple(pairs)


def _functions() -> tuple[dict[str, Counts], frozenset[str]]:
    functions: dict[str, Counts] = {}
    catalog: set[str] = set()
    for line in _lines("functions.txt"):
        name, counts, *marks = line.split()
        functions[name] = _counts(counts)
        if "catalog" in marks:
            catalog.add(name)
    return functions, frozenset(catalog)


_FUNCTIONS, CATALOG_FUNCTIONS = _functions()
_OPERATORS: Final = frozenset(_lines("operators.txt"))
_TYPES: Final = frozenset(_lines("types.txt"))


def function_names() -> frozenset[str]:
    """Every function name on the list: names that tell nothing, for the access log."""
    return frozenset(_FUNCTIONS) | {name for name, _ in ARGUMENT_CHECKED}


def is_function_allowed(schema: str | None, name: str, argument_count: int) -> bool:
    """Whether a call of pg_catalog's function `name` with so many arguments is allowed.

    `schema` None is an unqualified call that only pg_catalog's function can answer: the caller has
    looked at `Catalog.shadowed_functions`. Arguments after WITHIN GROUP need not be counted.
    """
    if schema == "information_schema":
        return (name, argument_count) in _INFORMATION_SCHEMA_FUNCTIONS
    if schema not in (None, "pg_catalog"):
        return False
    return any(least <= argument_count <= most for least, most in _FUNCTIONS.get(name, ()))


def is_operator_allowed(schema: str | None, name: str) -> bool:
    """Whether pg_catalog's operator `name` is allowed (None: see `Catalog.shadowed_operators`)."""
    return schema in (None, "pg_catalog") and name in _OPERATORS


def is_type_allowed(schema: str | None, name: str, catalog: Catalog) -> bool:
    """Whether a cast may name the type; `name` as PostgreSQL stores it or as SQL spells it.

    A trailing `[]` or a leading `_` (the array type's own name) makes no difference.
    """
    element = name.removesuffix("[]").rstrip()
    if schema is None:
        return element not in catalog.shadowed_types and (
            _is_built_in(element) or _is_only_enum(element, catalog)
        )
    if schema == "pg_catalog":
        return _is_built_in(element)
    return f"{schema}.{element}" in _TYPES or _is_enum(schema, element, catalog)


def _is_built_in(name: str) -> bool:
    name = _SPELLINGS.get(name, name)
    return name in _TYPES or name.removeprefix("_") in _TYPES


def _is_enum(schema: str, name: str, catalog: Catalog) -> bool:
    return any(f"{schema}.{each}" in catalog.enums for each in (name, name.removeprefix("_")))


def _is_only_enum(name: str, catalog: Catalog) -> bool:
    # `shadowed_types` has ruled out a second type of this name in another schema of the path.
    return any(_is_enum(schema, name, catalog) for schema in _enum_schemas(catalog))


def _enum_schemas(catalog: Catalog) -> frozenset[str]:
    return frozenset(name.split(".", 1)[0] for name in catalog.enums)
