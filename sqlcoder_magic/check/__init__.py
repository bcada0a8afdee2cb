"""Text -> `CheckedSQL`: take the SQL out of a draft, put it into the dialect, mend names, check.

    draft ─► extract_sql ─► translate ─► repair ─► check_sql ─► CheckedSQL

Covers text alone; nothing here opens a database.
"""

from sqlcoder_magic.check.extract import extract_sql, is_refusal
from sqlcoder_magic.check.guard import PASSES, check_sql
from sqlcoder_magic.check.repair import Repaired, repair, with_values
from sqlcoder_magic.check.translate import translate

__all__ = [
    "PASSES",
    "Repaired",
    "check_sql",
    "extract_sql",
    "is_refusal",
    "repair",
    "translate",
    "with_values",
]
