"""Schemas kept on disk from one session to the next, if the user asked for it.

One JSON file a database and user, in this package's cache directory, readable by its owner
alone. Its name is a hash of the URL without its password; inside are the schema and the
fingerprint of the catalogue, by which it is checked like the one in memory, and no part of
the URL. Not covered: databases in memory, native connections, and engines whose changes cannot
be noticed; they are read anew in each session.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlcoder_magic.connection import Database
from sqlcoder_magic.redaction import public_url
from sqlcoder_magic.sample.build import cache_directory
from sqlcoder_magic.schema.cache import Entry
from sqlcoder_magic.types import Column, ForeignKey, Schema, Table

_FORMAT = 1  # raised whenever a file of an earlier version would be misread
_DAMAGED = "The schema kept on disk was damaged; it was read anew."


def load(database: Database, fingerprint: str | None) -> tuple[Schema | None, str]:
    """The schema kept for this database if it has this fingerprint, and a note if it is damaged."""
    path = _path(database)
    if path is None or fingerprint is None:
        return None, ""
    try:
        kept = json.loads(path.read_bytes())
        if kept["format"] != _FORMAT or kept["fingerprint"] != fingerprint:
            return None, ""
        schema = _schema(kept["schema"])
        return (schema, "") if schema.dialect == database.dialect else (None, _DAMAGED)
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None, _DAMAGED


def save(database: Database, entry: Entry) -> None:
    """Keep the schema, completely or not at all; a directory that cannot be written is no harm."""
    path = _path(database)
    if path is None or entry.fingerprint is None:
        return
    kept = {
        "format": _FORMAT,
        "fingerprint": entry.fingerprint,
        "schema": asdict(entry.schema),
    }
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)  # readable by its owner alone
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass") as file:
                json.dump(kept, file)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)


def drop(database: Database) -> None:
    """Forget what is kept for this database."""
    path = _path(database)
    if path is not None:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _path(database: Database) -> Path | None:
    engine = database.any_engine
    if engine is None:
        return None
    name = engine.url.database or ""
    if database.engine_name in ("sqlite", "duckdb"):
        if not Path(name).is_file():
            return None
        name = str(Path(name).resolve())
    key = f"{public_url(engine.url)} {name}"
    try:
        directory = cache_directory()
    except RuntimeError:  # there is no home directory
        return None
    return directory / "schemas" / f"{sha256(key.encode('utf-8', 'replace')).hexdigest()[:32]}.json"


def _schema(kept: dict[str, Any]) -> Schema:
    tables = tuple(_table(table) for table in kept["tables"])
    return Schema(kept["dialect"], tables, tuple(kept["notes"]))


def _table(kept: dict[str, Any]) -> Table:
    names = [kept["name"], kept["namespace"], kept["comment"], kept["kind"]]
    names += [column[part] for column in kept["columns"] for part in ("name", "type", "comment")]
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a name that is no text")
    values = dict(kept)
    values["columns"] = tuple(
        Column(**{**column, "samples": tuple(column["samples"])}) for column in kept["columns"]
    )
    values["primary_key"] = tuple(kept["primary_key"])
    values["foreign_keys"] = tuple(
        ForeignKey(
            **{
                **key,
                "columns": tuple(key["columns"]),
                "other_columns": tuple(key["other_columns"]),
            }
        )
        for key in kept["foreign_keys"]
    )
    values["unique_keys"] = tuple(tuple(columns) for columns in kept["unique_keys"])
    return Table(**values)
