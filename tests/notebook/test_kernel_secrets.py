"""A password planted in a URL is in nothing that the kernel says, whatever goes right or wrong.

Every message of every execution is searched, the echo of the code aside: a notebook file keeps
them all. For the ways in which the password is not typed into a cell (a section of jupysql's
file, an environment variable, a keyring), IPython's history and every file that the package
writes are searched as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_helpers import Kernel, started_kernel
from sqlalchemy import create_engine, make_url

PASSWORD = "Geheim@9/Wort:zwei"
PARTS = ("Geheim", "Wort")  # whatever its encoding
ENCODED = "Geheim%409%2FWort%3Azwei"
WRONG = {
    "no server": f"postgresql+psycopg://me:{ENCODED}@127.0.0.1:1/nowhere",
    "in the query": f"postgresql+psycopg://127.0.0.1:1/nowhere?user=me&password={ENCODED}",
    "no driver": f"postgresql+nodriver://me:{ENCODED}@host/db",
    "no dialect": f"postgrez://me:{ENCODED}@host/db",
    "no port": f"postgresql://me:{ENCODED}@host:port/db",
    "no URL": f"postgresql:/me:{ENCODED}@host/db",
    "not encoded": f"postgresql://me:{PASSWORD}@host/db",
    "no file": f"sqlite:////no/such/file.db?password={ENCODED}",
}


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with started_kernel() as kernel:
        assert kernel.run("%load_ext sqlcoder_magic").ok
        kernel.use_fake_model()
        yield kernel


@pytest.fixture
def url(kernel: Kernel, postgres_url: str) -> str:
    """A PostgreSQL with three ids; it trusts its socket, and so takes any password."""
    made = make_url(postgres_url).set(password=PASSWORD).render_as_string(hide_password=False)
    filled = kernel.run(
        "from sqlalchemy import create_engine, text\n"
        f"with create_engine({made!r}).begin() as filling:\n"
        "    filling.execute(text('CREATE TABLE ids AS SELECT i FROM generate_series(1, 3) i'))"
    )
    assert filled.ok, filled.error
    return made


def assert_unsaid(kernel: Kernel) -> None:
    """Nothing secret in what was said since this was last asked."""
    said, kernel.said = kernel.said, []
    assert said
    assert [text for text in said if any(part in text for part in PARTS)] == []


def test_while_all_goes_well(kernel: Kernel, url: str) -> None:
    steps = (
        f"%sqlcoder connect {url}",
        "%sqlcoder status",
        "%sqlcoder schema ids",
        "%%nl2sql --run --show-prompt\nWhich?",
        "%sqlcoder connect sample",
        f"%%nl2sql --run -c {url}\nWhich?",
        "%sql --connections",
        "%sqlcoder status",
    )
    cells = []
    for code in steps:
        if "Which?" in code:
            kernel.model_says("SELECT COUNT(*) + 1000 AS n FROM ids")
        done = kernel.run(code)
        assert done.ok, done.error
        for cell in done.cells:
            cells.append(cell)
            assert "1003" in kernel.run(cell).shown()
    assert len(cells) == 2
    assert_unsaid(kernel)


def test_when_the_query_fails(kernel: Kernel, url: str) -> None:
    for option in ("", "--debug"):
        kernel.model_says("SELECT 1 / (i - 1) FROM ids")
        failed = kernel.run(f"%%nl2sql --run {option} -c {url}\nWhich?")
        assert "division by zero" in "\n".join(failed.error)
    assert_unsaid(kernel)


@pytest.mark.parametrize("where", WRONG.values(), ids=WRONG)
def test_when_the_url_is_wrong(kernel: Kernel, where: str) -> None:
    for code in (
        f"%sqlcoder connect {where}",
        f"%sqlcoder connect {where} --debug",
        f"%sqlcoder connect {where} too much",
        f"%%nl2sql --run -c {where}\nWhich?",
        f"%%nl2sql --debug -c {where}\nWhich?",
    ):
        assert not kernel.run(code).ok, code
    assert_unsaid(kernel)


def test_nothing_is_chained_to_the_error(kernel: Kernel) -> None:
    """IPython keeps the last error, and `%tb` shows what led to it."""
    assert not kernel.run(f"%%nl2sql -c {WRONG['no server']}\nWhich?").ok
    shown = kernel.run(
        "import sys\nerror = sys.last_value\n"
        "print(repr(error), error.__cause__, error.__context__)\n"
        "%tb"
    )
    assert "None None" in shown.stdout
    assert_unsaid(kernel)


def test_ways_that_keep_it_out_of_the_notebook(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it in the history, in what is kept between sessions, or in what was said."""
    cache = tmp_path / "cache"
    plain = make_url(postgres_url)
    made = plain.set(password=PASSWORD).render_as_string(hide_password=False)
    engine = create_engine(plain)
    with engine.begin() as filling:
        filling.exec_driver_sql("CREATE TABLE ids AS SELECT i FROM generate_series(1, 3) i")
    engine.dispose()
    section = {
        "drivername": plain.drivername,
        "username": plain.username,
        "password": PASSWORD.replace("%", "%%"),
        "database": plain.database,
        "query": dict(plain.query),
    }
    lines = "".join(f"{key} = {value}\n" for key, value in section.items())
    ini = tmp_path / "connections.ini"
    ini.write_text(f"[shop]\n{lines}", encoding="utf-8")
    monkeypatch.setenv("SHOP_URL", made)
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    monkeypatch.setenv("SQLCODER_MAGIC_CACHE", str(cache))
    in_a_keyring = (
        "import os\nfrom sqlalchemy import create_engine, make_url\n"
        f"engine = create_engine({plain.render_as_string(hide_password=False)!r}, "
        "connect_args={'password': os.environ['SHOP_PASSWORD']})"
    )
    with started_kernel() as kernel:
        assert kernel.run("%load_ext sql\n%load_ext sqlcoder_magic").ok
        kernel.use_fake_model()
        for connect in (
            f"%config SqlMagic.dsn_filename = {str(ini)!r}\n%sql --section shop",
            "%sql $SHOP_URL",
            f"{in_a_keyring}\n%sqlcoder connect engine",
        ):
            done = kernel.run(connect)
            assert done.ok, (done.error, done.stderr)
            kernel.model_says("SELECT COUNT(*) AS n FROM ids", "SELECT 1 / (i - 1) FROM ids")
            asked = kernel.run("%%nl2sql --run\nHow many?")
            assert asked.ok, asked.error
            assert not kernel.run("%%nl2sql --run --debug\nWhich?").ok
            assert kernel.run("%sqlcoder status\n%sql --connections").ok
        kept = kernel.value(
            "[str(row) for row in get_ipython().history_manager.get_range(0, output=True)]"
        )
        assert len(kept) > 5
        kernel.said += kept
        assert_unsaid(kernel)
    files = [path for path in cache.rglob("*") if path.is_file()]
    left = "".join(path.read_bytes().decode(errors="replace") for path in files)
    assert not any(part in left for part in PARTS)
