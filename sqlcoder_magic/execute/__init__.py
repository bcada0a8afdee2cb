"""`CheckedSQL` -> DataFrame: read-only, within limits, stoppable, and without a trace.

`run.py` is the line from top to bottom; `base.py` says what a guard is, and each engine's
guard is one module (`sqlite`, `postgres`, `duckdb` …; `warehouses` holds those that nobody
could try); `explain.py` asks for the plan alone; `collect.py` fetches within the row and byte
limits; `watch.py` stops at the time limit and at Ctrl-C; `frame.py` makes the
DataFrame. Not here: deciding whether the SQL is harmless (`check/`). This room is the second
layer: it assumes that the check was fooled, and still refuses to write.
"""

from __future__ import annotations

from sqlcoder_magic.execute.explain import explain_sql
from sqlcoder_magic.execute.run import Result, run_sql, run_sql_result
from sqlcoder_magic.execute.warehouses import unverified_note

__all__ = ["Result", "explain_sql", "run_sql", "run_sql_result", "unverified_note"]
