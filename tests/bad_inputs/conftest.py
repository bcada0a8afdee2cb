"""What the tests of bad input share: one small shop on three engines, and what a good error is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bad_input_helpers import SECRET, SHOP, Shop, Told
from sqlalchemy import Engine, create_engine, make_url

from sqlcoder_magic.errors import NL2SQLError

sys.path.insert(0, str(Path(__file__).parents[1] / "notebook"))  # `kernel_helpers`


@pytest.fixture(scope="session")
def shop_database(postgres_server: str) -> Iterator[str]:
    """The URL of one PostgreSQL database for every test's shop: making one takes a while."""
    name = f"shop_{os.getpid()}"
    admin = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


def _engine_shop(name: str, engine: Engine) -> Shop:
    def run(sql: str) -> list[Any]:
        with engine.begin() as connection:
            result = connection.exec_driver_sql(sql)
            return [tuple(row) for row in result] if result.returns_rows else []

    return Shop(name, engine, run)


@pytest.fixture(params=["sqlite", "duckdb", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """The shop on each engine: a SQLite file, a native DuckDB connection, PostgreSQL."""
    if request.param == "duckdb":
        import duckdb

        native = duckdb.connect()
        made = Shop("duckdb", native, lambda sql: native.execute(sql).fetchall())
        close: Callable[[], None] = native.close
    else:
        url = f"sqlite:///{tmp_path}/shop.db"
        if request.param == "postgres":
            url = request.getfixturevalue("shop_database")
        engine = create_engine(url)
        made, close = _engine_shop(request.param, engine), engine.dispose
        if request.param == "postgres":
            made.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    for statement in SHOP:
        made.run(statement)
    yield made
    close()


@pytest.fixture
def told() -> Told:
    """`told(error)`: its text, after a look at whether it is one a person can use."""

    def look(error: NL2SQLError | None) -> str:
        assert isinstance(error, NL2SQLError)
        text = str(error)
        assert error.message.strip() and error.fix.strip(), f"no next step: {text}"
        assert "Traceback" not in text and 'File "' not in text and " object at 0x" not in text
        assert len(text.splitlines()) <= 15 and len(text) < 1500
        link: BaseException | None = error
        while link is not None:  # `%tb` shows what is chained
            assert SECRET not in str(link) + repr(link)
            link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
        return text

    return look


@pytest.fixture(scope="session")
def quiet_jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No settings or history of the person's in kernels and shells that tests start."""
    home = tmp_path_factory.mktemp("jupyter")
    names = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setenv(name, str(home / name.lower()))
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        yield
