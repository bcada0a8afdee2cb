"""The skip policy of `conftest.py`: in a strict run only an explained skip may pass."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
SKIPS = """
import pytest

@pytest.mark.skip(reason={reason!r})
def test_a():
    pass

@pytest.mark.xfail(reason="known")
def test_b():
    assert False
"""


def outcome(directory: Path, tests: str, *, strict: bool) -> subprocess.CompletedProcess[str]:
    """A run of pytest over `tests` under the project's conftest."""
    for file in (CONFTEST, CONFTEST.with_name("servers.py")):  # which the conftest imports
        shutil.copy(file, directory)
    (directory / "test_one.py").write_text(tests)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(directory)],
        cwd=directory,
        env={**os.environ, "SQLCODER_MAGIC_STRICT_SKIPS": "1" if strict else "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("reason", "strict", "passes"),
    [
        ("no Chromium: CHROMIUM=/path names one", True, True),
        ("no MariaDB server: apt-get install mariadb-server", True, True),
        ("too lazy", True, False),
        ("too lazy", False, True),
    ],
)
def test_only_explained_skips_pass(tmp_path: Path, reason: str, strict: bool, passes: bool) -> None:
    done = outcome(tmp_path, SKIPS.format(reason=reason), strict=strict)
    assert (done.returncode == 0) is passes, done.stdout
    assert ("does not explain" in done.stdout) is not passes
    assert passes or "test_one.py::test_a: Skipped: too lazy" in done.stdout


def test_a_module_skipped_as_a_whole_counts(tmp_path: Path) -> None:
    tests = "import pytest\npytest.importorskip('no_such_module')\n\ndef test_a():\n    pass\n"
    done = outcome(tmp_path, tests, strict=True)
    assert done.returncode == 1
    assert "does not explain" in done.stdout and "no_such_module" in done.stdout
