"""CSV, TSV, Parquet and JSON files as views of an embedded DuckDB: `data/*.csv`, a directory.

Each file is one table, named after it. The views read the files anew at each question; nothing
is copied. DuckDB may open these files and no others: its access to everything else is shut
before anybody's SQL runs, and cannot be opened again. Not covered: files on a server (a URL),
one table out of many files, and compression other than gzip.
"""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlcoder_magic.embedded.engine import fresh_engine, is_open
from sqlcoder_magic.errors import DatabaseConnectionError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_FILES = 500  # each is looked at once to learn its columns

_READERS = {
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".parquet": "read_parquet",
    ".json": "read_json",
    ".jsonl": "read_json",
    ".ndjson": "read_json",
}
_KINDS = "CSV, TSV, Parquet or JSON"

_Stamp = tuple[tuple[int, int], ...]  # of each file: when it was changed, its size
# One for the same files; that of an earlier state is let go with its last user.
_engines: dict[tuple[Path, ...], tuple[_Stamp, DuckDBPyConnection]] = {}


def looks_like_files(text: str) -> bool:
    """Whether a text names files of a kind that can be asked, a directory, or a pattern."""
    path = _expanded(text)
    # os.path, because a Path raises where a name is too long to be one.
    return bool(_reader(path)) or os.path.isdir(path) or glob.has_magic(text)


def connect_files(pattern: str) -> DuckDBPyConnection:
    """A DuckDB with a view for each file that `pattern` names (a path, a directory, a glob).

    The same one again while the files are the same. Raises DatabaseConnectionError for files
    that are not there or cannot be read.
    """
    paths = _paths(pattern)
    stamp = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
    before, known = _engines.get(tuple(paths), ((), None))
    if known is None or before != stamp or not is_open(known):
        known = _connected(paths)
        _engines[tuple(paths)] = stamp, known
    return known


def _connected(paths: list[Path]) -> DuckDBPyConnection:
    engine = fresh_engine(external=True)
    for name, path in zip(_table_names(paths), paths, strict=True):
        _add_view(engine, name, path)
    listed = ", ".join(_literal(one) for path in paths for one in {str(path), _plain(path)})
    engine.execute(f"SET allowed_paths = [{listed}]")
    engine.execute("SET enable_external_access = false")
    return engine


def _expanded(text: str) -> Path:
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path's raises where there is no home


def _reader(path: Path) -> str:
    """DuckDB's function for a file by its ending; empty for a file of another kind."""
    endings = [ending.lower() for ending in path.suffixes[-2:]]
    packed = endings[-1:] == [".gz"]
    ending = "".join(endings[:-1] if packed else endings[-1:])
    return "" if packed and ending == ".parquet" else _READERS.get(ending, "")


def _paths(pattern: str) -> list[Path]:
    """The files, absolute and in order."""
    path = _expanded(pattern)
    if os.path.isdir(path):
        found = list(path.iterdir())
    elif os.path.exists(path):
        found = [path]
    else:  # Path.glob knows no absolute pattern
        found = [Path(one) for one in glob.glob(str(path), recursive=True)]  # noqa: PTH207
    found = [one for one in found if one.is_file()]
    # A link keeps its own name: its ending says how it is read, whatever it leads to.
    paths = sorted({Path(os.path.abspath(one)) for one in found if _reader(one)})  # noqa: PTH100
    if not paths:
        raise _nothing(pattern, found)
    if len(paths) > MOST_FILES:
        raise DatabaseConnectionError(
            f"{pattern} names {len(paths):,} files; {MOST_FILES:,} at most can be tables.",
            fix="Name fewer, or make one Parquet file of those that belong together.",
        )
    return paths


def _nothing(pattern: str, found: list[Path]) -> DatabaseConnectionError:
    if found or os.path.isdir(_expanded(pattern)):
        message = f"{pattern} has no {_KINDS} file."
    else:
        message = f"No file matches {pattern}." if glob.has_magic(pattern) else ""
        message = message or f"There is no file {pattern}."
    here = Path.cwd()
    return DatabaseConnectionError(message, fix=f"Check the path; relative ones begin at {here}.")


def _table_names(paths: list[Path]) -> list[str]:
    """A name for each: the file's, made plain; a number is added where two would be alike."""
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        stem = re.sub(r"(\.\w+?)(\.gz)?$", "", path.name, flags=re.I)
        plain = re.sub(r"\W+", "_", stem).strip("_") or "file"
        plain = f"t_{plain}" if plain[0].isdigit() else plain
        name, number = plain, 2
        while name.casefold() in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def _add_view(engine: DuckDBPyConnection, name: str, path: Path) -> None:
    import duckdb

    reader = _reader(path)
    quoted = '"' + name.replace('"', '""') + '"'
    if not path.stat().st_size:
        raise DatabaseConnectionError(f"{path} is empty.", fix="Name the others without it.")
    try:
        engine.execute(f"CREATE VIEW {quoted} AS SELECT * FROM {reader}({_literal(_plain(path))})")
    except (duckdb.Error, UnicodeError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        problem = DatabaseConnectionError(
            f"{path} cannot be read: {said}",
            fix="Mend the file, or name the others without it.",
        )
    else:
        return
    raise problem


def _plain(path: Path) -> str:
    """The path as DuckDB's pattern for this one file: `*` in its name is a letter like others."""
    return re.sub(r"([\[*?])", r"[\1]", str(path))


def _literal(text: str) -> str:
    """The text as SQL spells one."""
    return "'" + text.replace("'", "''") + "'"
