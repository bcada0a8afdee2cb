"""The magics in IPython without a notebook: the SQL in the output, and a clean end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SESSION = """
%load_ext sqlcoder_magic
%sqlcoder connect sample
from sqlcoder_magic import FakeModel, use_model
use_model(FakeModel(["SELECT COUNT(*) AS n FROM customers", "DROP TABLE customers"]))
%nl2sql -o counted How many customers?
print("counted", counted["n"].tolist())
%nl2sql --run Remove them!
print(6 * 7)
"""


def test_a_session_in_a_terminal(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"],
        input=SESSION,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == ""
    for word in (
        "Connected to sample",
        "SELECT COUNT(*) AS n FROM customers;",
        "counted [300]",
        "DROP is not let through",
        "42",
    ):
        assert word in done.stdout
    assert "Traceback" not in done.stdout
