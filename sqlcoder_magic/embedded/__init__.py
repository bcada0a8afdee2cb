"""What is no database, as one: DataFrames and files as tables of an embedded DuckDB of ours.

`frames` takes the notebook's DataFrames, `files` CSV, Parquet and JSON; each gives a DuckDB
connection on which nothing else can be read: no other file, no other variable, no network. Not
here: asking it (the same way as any other DuckDB) and guarding a run (`execute/`).
"""

from __future__ import annotations

from sqlcoder_magic.embedded.files import connect_files, looks_like_files
from sqlcoder_magic.embedded.frames import connect_frames

__all__ = ["connect_files", "connect_frames", "looks_like_files"]
