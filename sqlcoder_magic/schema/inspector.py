"""Every other engine, through SQLAlchemy's inspector and its bulk methods.

One call a kind of thing (columns, keys, comments) for the default schema, or, if that is
empty, for each schema that the user can see. What a dialect cannot tell becomes a note. Not
covered: noticing changes (there is no general fingerprint).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlcoder_magic.connection import Session
from sqlcoder_magic.schema.found import Found, Key, named, plural
from sqlcoder_magic.types import Column

_SYSTEM = frozenset({"information_schema", "sys", "system", "guest", "performance_schema", "mysql"})

Multi = Mapping[tuple[str | None, str], Any]


def read(session: Session) -> Found:
    """The default schema's tables and views, or those of all schemas if it has none."""
    from sqlalchemy import inspect

    assert session.alchemy is not None
    inspector = inspect(session.alchemy)
    found = Found()
    _read_schema(inspector, None, session.alchemy.dialect, found)
    if not found.tables:
        for name in inspector.get_schema_names():
            if name.lower() not in _SYSTEM and not name.lower().startswith(("pg_", "db_")):
                _read_schema(inspector, name, session.alchemy.dialect, found)
    return found


def _read_schema(inspector: Any, schema: str | None, dialect: Any, found: Found) -> None:
    from sqlalchemy.engine.reflection import ObjectKind

    kind = {"kind": ObjectKind.ANY, "schema": schema}
    spelled = _spelling(dialect)

    def key_of(namespace: str | None, name: str) -> Key:
        return (spelled(namespace or ""), spelled(name))

    for (namespace, name), columns in _columns(inspector, kind, found).items():
        key = key_of(namespace, name)
        found.tables[key] = ""
        for column in columns:
            type_name = _type_name(column["type"], dialect)
            nullable = bool(column.get("nullable", True))
            comment, computed = column.get("comment") or "", bool(column.get("computed"))
            made = Column(spelled(column["name"]), type_name, nullable, comment, (), computed)
            found.add_column(key, made)
    for (namespace, name), key_ in _try(inspector, "get_multi_pk_constraint", kind, found).items():
        primary = map(spelled, key_.get("constrained_columns") or ())
        found.primary_keys[key_of(namespace, name)] = tuple(primary)
    for (namespace, name), keys in _try(inspector, "get_multi_foreign_keys", kind, found).items():
        for one in keys:
            other = key_of(one.get("referred_schema"), one["referred_table"])
            columns_ = map(spelled, one["constrained_columns"])
            targets = map(spelled, one["referred_columns"])
            found.add_reference(key_of(namespace, name), columns_, other, targets)
    for (namespace, name), keys in _try(
        inspector, "get_multi_unique_constraints", kind, found
    ).items():
        for one in keys:
            found.add_unique(key_of(namespace, name), map(spelled, one["column_names"]))
    views = {**kind, "kind": ObjectKind.ANY_VIEW}
    for namespace, name in _try(inspector, "get_multi_table_comment", views, found):
        found.kinds[key_of(namespace, name)] = "view"
    for (namespace, name), comment in _try(
        inspector, "get_multi_table_comment", kind, found
    ).items():
        if key_of(namespace, name) in found.tables:
            found.tables[key_of(namespace, name)] = (comment or {}).get("text") or ""


def _spelling(dialect: Any) -> Callable[[str], str]:
    """From a name as SQLAlchemy gives it to the catalogue's: where unquoted names are in upper
    case, it gives them in lower case."""
    if not getattr(dialect, "requires_name_normalize", False):
        return str
    return lambda name: str(dialect.denormalize_name(name)) if name else ""


def _columns(inspector: Any, kind: dict[str, Any], found: Found) -> Multi:
    """All columns at once; if one table spoils that, table by table without those that fail."""
    try:
        together: Multi = inspector.get_multi_columns(**kind)
    except Exception:
        schema, broken, singly = kind["schema"], [], {}
        for name in [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]:
            try:
                singly[schema, name] = inspector.get_columns(name, schema)
            except Exception:  # noqa: BLE001 - as above
                broken.append(name)
        if not singly:
            raise
        if broken:
            count = plural(len(broken), "table")
            found.notes.append(f"{count} left out that SQLAlchemy cannot read: {named(broken)}.")
        return singly
    return together


def _try(inspector: Any, method: str, kind: dict[str, Any], found: Found) -> Multi:
    """What the method gives; nothing and a note if this dialect fails in it."""
    try:
        result: Multi = getattr(inspector, method)(**kind)
    except NotImplementedError:
        return {}  # the engine has no such thing, which is nothing to tell
    except Exception as error:  # noqa: BLE001 - a third-party dialect may raise anything here
        what = method.removeprefix("get_multi_").replace("_", " ")
        found.notes.append(f"The {what} could not be read ({type(error).__name__}).")
        return {}
    return result


def _type_name(kind: Any, dialect: Any) -> str:
    """The type as the engine spells it, or the class's name for one that cannot be spelled."""
    from sqlalchemy.exc import CompileError, UnsupportedCompilationError

    try:
        return str(kind.compile(dialect=dialect))
    except (CompileError, UnsupportedCompilationError):
        return type(kind).__name__
