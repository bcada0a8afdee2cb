"""A planted password is in nothing that a session leaves behind, whichever way it was given.

The ways are those in which SQLAlchemy and jupysql take one. For each: what goes well, what goes
wrong in connecting, and a driver that repeats the password in its error. Searched: messages,
reprs, fixes, the chain of exceptions, the traceback of `--debug`, logs of every logger, warnings,
standard output and error, pickles, and every file under the cache, where the package keeps its
memory. `tests/notebook/test_kernel_secrets.py` does the same with a kernel, its history and its
notebook output.
"""

from __future__ import annotations

import functools
import logging
import os
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from sqlalchemy import URL, Engine, create_engine, make_url

from sqlcoder_magic import FakeModel, ask
from sqlcoder_magic.check import check_sql
from sqlcoder_magic.connection import Database, open_database
from sqlcoder_magic.errors import NL2SQLError
from sqlcoder_magic.execute import run_sql
from sqlcoder_magic.redaction import kept_secrets, redact
from sqlcoder_magic.schema import read_schema
from sqlcoder_magic.settings import Settings

PASSWORD = "Geheim@9/Wort:zwei"
PARTS = ("Geheim", "Wort")  # whatever its encoding
ENCODED = quote_plus(PASSWORD)


class Repeats(Exception):
    """What a driver raises that repeats what it was given."""


def _plain(url: str) -> str:
    return make_url(url).render_as_string(hide_password=False)


def _creator(url: str) -> Engine:
    import psycopg

    password = PASSWORD
    place = url.replace("+psycopg", "")
    return create_engine(url, creator=lambda: psycopg.connect(place, password=password))


def _partial(url: str) -> Engine:
    import psycopg

    make = functools.partial(psycopg.connect, url.replace("+psycopg", ""), password=PASSWORD)
    return create_engine(url, creator=make)


def _from_keyring(url: str) -> URL:
    """As people do who keep passwords in a keyring: they put it into the URL object."""
    keyring = {"shop": PASSWORD}
    return make_url(url).set(password=keyring["shop"])


# A way of giving the password -> what is handed to `open_database`. All of them reach the server,
# which trusts its socket and takes any password.
WAYS: dict[str, Callable[[str], Any]] = {
    "URL": lambda url: _plain(make_url(url).set(password=PASSWORD)),  # type: ignore[arg-type]
    "URL object": lambda url: make_url(url).set(password=PASSWORD),
    "query string": lambda url: _plain(make_url(url).update_query_dict({"password": PASSWORD})),  # type: ignore[arg-type]
    "connect_args": lambda url: create_engine(url, connect_args={"password": PASSWORD}),
    "creator": _creator,
    "creator as a partial": _partial,
    "keyring": _from_keyring,
}
# URLs of databases that are not there, in every place where a secret may stand.
WRONG = {
    "no server": f"postgresql+psycopg://me:{ENCODED}@127.0.0.1:1/nowhere",
    "not encoded": f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1:1/nowhere",
    "query string": f"postgresql+psycopg://127.0.0.1:1/nowhere?user=me&password={ENCODED}",
    "pymysql": f"mysql+pymysql://me:{ENCODED}@127.0.0.1:1/nowhere",
    "pymysql's own word": f"mysql+pymysql://127.0.0.1:1/nowhere?user=me&passwd={ENCODED}",
    "odbc_connect": "mssql+pyodbc:///?odbc_connect="
    + quote_plus(f"DRIVER={{x}};SERVER=127.0.0.1;UID=me;PWD={{{PASSWORD}}}"),
    "a token": f"databricks://token:{ENCODED}@127.0.0.1:1?access_token={ENCODED}",
    "a private key": f"snowflake://me@account/db?private_key_passphrase={ENCODED}",
    "DuckDB's token": f"duckdb:////no/such/file.duckdb?motherduck_token={ENCODED}",
    "no file": f"sqlite:////no/such/file.db?password={ENCODED}",
    "no scheme": f"me:{PASSWORD}@127.0.0.1/nowhere",
}


class Heard:
    """Everything that was said or left behind since this was made."""

    def __init__(
        self,
        capfd: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
        warned: list[warnings.WarningMessage],
    ) -> None:
        self._capfd, self._caplog, self._warned = capfd, caplog, warned
        self.said: list[str] = []

    def error(self, error: BaseException) -> None:
        """An error in every form in which it could get out."""
        self.said += [str(error), repr(error), str(error.args), str(vars(error))]
        self.said += traceback.format_exception(error)
        with suppress(TypeError, AttributeError, pickle.PicklingError):
            self.said.append(str(pickle.dumps(error)))
        if isinstance(error, NL2SQLError):
            error.prepare(debug=True)
            self.said += error._render_traceback_()

    def assert_unsaid(self) -> None:
        """Nothing secret anywhere."""
        out, err = self._capfd.readouterr()
        cache = Path(os.environ["SQLCODER_MAGIC_CACHE"])
        files = [path for path in cache.rglob("*") if path.is_file()]
        left = [path.read_bytes().decode(errors="replace") for path in files]
        warned = [str(warning.message) for warning in self._warned]
        everything = [*self.said, out, err, self._caplog.text, *left, *warned]
        found = [text[:300] for text in everything if any(part in text for part in PARTS)]
        assert found == []


@pytest.fixture
def heard(
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Heard]:
    monkeypatch.setenv("SQLCODER_MAGIC_CACHE", str(tmp_path / "cache"))
    caplog.set_level(logging.DEBUG)  # SQLAlchemy logs each connection and statement
    for name in ("sqlalchemy.pool", "sqlalchemy.engine", "sqlalchemy.dialects"):
        caplog.set_level(logging.DEBUG, logger=name)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield Heard(capfd, caplog, warned)


def test_the_search_finds_what_is_not_hidden(heard: Heard) -> None:
    """Otherwise its silence below would mean nothing."""
    for said in (ENCODED, PASSWORD, f"password={PASSWORD}"):
        heard.said = [said]
        with pytest.raises(AssertionError):
            heard.assert_unsaid()
    heard.said = []
    heard.error(RuntimeError(PASSWORD))
    with pytest.raises(AssertionError):
        heard.assert_unsaid()


@pytest.mark.parametrize("way", WAYS)
def test_while_all_goes_well(way: str, postgres_url: str, heard: Heard) -> None:
    database = opened(way, postgres_url, heard)
    schema = read_schema(database)
    checked = check_sql("SELECT i FROM ids ORDER BY i", schema)
    frame = run_sql(checked, database)
    assert frame["i"].tolist() == [1, 2, 3]
    model = FakeModel(["SELECT i FROM ids WHERE i = 2"])
    answer = ask("Which?", database, model, run=True, settings=Settings())
    assert answer.frame is not None and answer.frame["i"].tolist() == [2]
    heard.said += [repr(database), str(database), database.label, repr(schema), repr(checked)]
    heard.said += [repr(answer), str(answer.to_dict()), str(frame.attrs), repr(Settings())]
    heard.said += [str(pickle.dumps(thing)) for thing in (schema, Settings(), frame)]
    heard.assert_unsaid()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("said", [PASSWORD, ENCODED, f"password={PASSWORD}"])
def test_a_driver_that_repeats_it(
    way: str, said: str, postgres_url: str, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password in the text of an error: in connecting, in reading the schema, in running."""
    database = opened(way, postgres_url, heard)
    schema = read_schema(database)
    checked = check_sql(f"SELECT '{said}' || i, 1 / (i - 1) FROM ids", schema)
    with pytest.raises(NL2SQLError) as run:
        run_sql(check_sql(f"SELECT CAST('{said}' AS integer)", schema), database)
    assert "***" in str(run.value) and "invalid input syntax" in str(run.value)
    with pytest.raises(NL2SQLError) as divided:
        run_sql(checked, database)

    def refuse(*_: Any, **__: Any) -> Any:
        raise Repeats(f"no entry with {said}")

    assert database.engine is not None
    database.engine.dispose()
    monkeypatch.setattr(database.engine, "connect", refuse)
    with pytest.raises(NL2SQLError) as connecting, database.session():
        pass
    with pytest.raises(NL2SQLError) as reading:
        read_schema(database, refresh=True)
    assert "no entry with" in str(connecting.value)
    for caught in (run, divided, connecting, reading):
        heard.error(caught.value)
    heard.assert_unsaid()


@pytest.mark.parametrize("where", WRONG.values(), ids=WRONG)
def test_when_the_url_is_wrong(where: str, heard: Heard) -> None:
    with pytest.raises(NL2SQLError) as caught, open_database(where).session():
        pass
    heard.error(caught.value)
    with pytest.raises(NL2SQLError) as asked:
        ask("Which?", where, FakeModel(["SELECT 1"]))
    heard.error(asked.value)
    heard.assert_unsaid()


def test_what_a_creator_keeps_is_known() -> None:
    password = "one"

    def closure() -> str:
        return password

    assert kept_secrets(closure) == {"one"}
    assert kept_secrets(functools.partial(dict, passwd=b"two", user="me")) == {"two"}
    assert kept_secrets(None) == kept_secrets(len) == frozenset()
    assert redact("tried one, %6fne", more=["one"]) == "tried ***, %6fne"


def opened(way: str, url: str, heard: Heard) -> Database:
    """The database with three ids in it, handed over in this way."""
    filling = create_engine(url)
    with filling.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE ids AS SELECT i FROM generate_series(1, 3) AS i")
    filling.dispose()
    database = open_database(WAYS[way](url))
    heard.said += [repr(database), database.label]
    return database
