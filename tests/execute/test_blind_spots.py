"""Every blind spot that is known of parsers and of engines' own locks, one by one.

A `Spot` first does its harm on a real engine with nothing to guard: it changes something that the
fingerprint sees, or shows what is planted in a hidden table and in files. Then `check_sql` refuses
it. Where the engine's own lock is promised to stop it as well (`locked`), a forged seal takes it
past the check, and nothing is changed or shown. Where the lock is known not to stop it, the test
shows that too, so that the day it does is noticed: docs/security.md counts on the check there.

Refused without a harm shown here: what only Oracle's MySQL does (no server of it can be started),
`query_to_xml` and `database_to_xml` (this PostgreSQL is built without libxml; `ts_stat`, which
runs SQL in a string as well, is shown instead), and DuckDB's `getenv`, which its Python package
does not have. All are in the hostile fixtures of `tests/check`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from playground import ENGINES, LEAKS, TABLES, Playground, closing, shop
from playground_files import SQLitePlay
from servers import NoServerError
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool
from sqlglot import exp

from sqlcoder_magic.check import check_sql
from sqlcoder_magic.errors import RunError, SQLRejected
from sqlcoder_magic.execute import run_sql
from sqlcoder_magic.types import _SEAL, CheckedSQL


@dataclass(frozen=True)
class Spot:
    """`{files}` in the text is the playground's directory. `shows`: words that must appear where
    the harm is a reading, not a change."""

    name: str
    sql: str
    locked: bool = True
    shows: str = ""


_MADE = "'{files}/made'"
SPOTS: dict[str, tuple[Spot, ...]] = {
    "postgres": (
        Spot("escapes spell a name", "SELECT U&\"s\\0065tval\"('s', 99)"),
        Spot("a dot calls a function", "SELECT ('s'::regclass).nextval"),
        Spot("a dot after a column", "SELECT (t.a).nextval FROM (SELECT 's'::regclass AS a) t"),
        Spot("ROWS FROM", "SELECT * FROM ROWS FROM (nextval('s')) AS t"),
        Spot("SQL in a string",
             "SELECT * FROM ts_stat('SELECT password::tsvector FROM secrets')", False, LEAKS[0]),
        Spot("a CTE writes", "WITH d AS (DELETE FROM products RETURNING *) SELECT * FROM d"),
        Spot("SELECT INTO", "SELECT * INTO copied FROM products"),
        Spot("EXPLAIN ANALYZE", "EXPLAIN ANALYZE DELETE FROM products"),
        Spot("EXPLAIN with options", "EXPLAIN (ANALYZE) DELETE FROM products"),
        Spot("a second statement", "SELECT 1; DELETE FROM products"),
        Spot("taking read-only back", "SET TRANSACTION READ WRITE; DELETE FROM products"),
        Spot("DO", "DO 'BEGIN DELETE FROM products; END'"),
        Spot("locking a table", "BEGIN; LOCK TABLE products"),
        Spot("locking rows", "BEGIN; SELECT * FROM products FOR UPDATE"),
        Spot("a setting", "SELECT set_config('work_mem', '9MB', false)"),
        Spot("a large object", "SELECT lo_create(0)"),
        Spot("a file is imported", "SELECT lo_import('{files}/canary')"),
        Spot("a file is made", f"SELECT lo_from_bytea(777, 'x'); SELECT lo_export(777, {_MADE})"),
        Spot("a program runs", "COPY (SELECT 1) TO PROGRAM 'touch {files}/made'"),
        Spot("COPY writes a file", f"COPY products TO {_MADE}"),
        Spot("an advisory lock", "SELECT pg_advisory_lock(7)", locked=False),
        Spot("a file", "SELECT pg_read_file('{files}/canary')", False, LEAKS[1]),
        Spot("a directory", "SELECT pg_ls_dir('{files}')", False, "canary"),
        Spot("a hidden table", "SELECT password FROM secrets", False, LEAKS[0]),
        Spot("behind a CTE's name",
             "WITH secrets AS (SELECT 1 AS x) SELECT * FROM public.secrets", False, LEAKS[0]),
        Spot("in another scope", "SELECT * FROM (WITH secrets AS (SELECT 1 AS x) SELECT * FROM "
             "secrets) t, secrets", False, LEAKS[0]),
        Spot("the catalogue", "SELECT rolname FROM pg_authid", False, "postgres"),
        Spot("a cast looks a name up", "SELECT 10::oid::regrole::text", False, "postgres"),
        Spot("an array of them", "SELECT '{10}'::_regrole::text", False, "postgres"),
        Spot("a table's name is a type", "SELECT to_jsonb(ROW(1, 2, 3, 'a', 'b', 'c')::secrets)",
             False, "password"),
        Spot("a word is a function", "SELECT * FROM user", False, "postgres"),
    ),
    "sqlite": (
        Spot("ATTACH writes a file", f"ATTACH {_MADE} AS x"),
        Spot("VACUUM INTO writes a file", f"VACUUM INTO {_MADE}"),
        Spot("a PRAGMA", "PRAGMA writable_schema = 1"),
        Spot("WITH before DELETE", "WITH x AS (SELECT 1) DELETE FROM products"),
        Spot("REPLACE", "REPLACE INTO products VALUES (9, 'x', 'x', 1, 1)"),
        Spot("RETURNING", "DELETE FROM products RETURNING name"),
        Spot("a hidden table", "SELECT password FROM secrets", shows=LEAKS[0]),
        Spot("in strings", "SELECT password FROM 'secrets'", shows=LEAKS[0]),
        Spot("in brackets", "SELECT password FROM [secrets]", shows=LEAKS[0]),
        Spot("a subquery", "SELECT 'hidden' WHERE 1 IN (SELECT id FROM secrets)", shows="hidden"),
        Spot("the catalogue", "SELECT sql FROM sqlite_master", shows="CREATE TABLE secrets"),
        Spot("a pragma as a table", "SELECT name FROM pragma_table_info('secrets')",
             shows="password"),
        Spot("one step makes much", "SELECT length(printf('%.*c', 99000000, 'x'))",
             shows="99000000"),
        Spot("randomblob", "SELECT length(randomblob(99000000))", shows="99000000"),
        Spot("replace", "SELECT length(replace(hex(zeroblob(4500000)), '0', 'xxxxxxxxxxx'))",
             shows="99000000"),
    ),
    "duckdb": (
        Spot("a sequence", "SELECT nextval('s')"),
        Spot("EXPLAIN ANALYZE", "EXPLAIN ANALYZE SELECT nextval('s')"),
        Spot("a second statement", "SELECT 1; DELETE FROM products"),
        Spot("taking read-only back", "BEGIN TRANSACTION READ ONLY; COMMIT; DELETE FROM products"),
        Spot("COPY writes a file", f"COPY products TO {_MADE}"),
        Spot("a setting", "SET threads = 1"),
        Spot("a variable", "SET VARIABLE x = 1"),
        Spot("ATTACH", f"ATTACH {_MADE} AS x"),
        Spot("a file by its name", "FROM '{files}/x.csv'", shows=LEAKS[1]),
        Spot("a file in quotes", 'FROM "{files}/x.csv"', shows=LEAKS[1]),
        Spot("SUMMARIZE", "SUMMARIZE '{files}/x.csv'", shows=LEAKS[1]),
        Spot("a function reads", "SELECT * FROM read_text('{files}/canary')", shows=LEAKS[1]),
        Spot("files are listed", "SELECT * FROM glob('{files}/*')", shows="canary"),
        Spot("SQL in a string", "SELECT * FROM query('FROM secrets')", shows=LEAKS[0]),
        Spot("a table in a string", "SELECT * FROM query_table('secrets')", shows=LEAKS[0]),
        Spot("a hidden table", "SELECT password FROM secrets", shows=LEAKS[0]),
        Spot("PIVOT", "PIVOT secrets ON id USING max(password)", False, LEAKS[0]),
        Spot("PIVOT looks past the CTE before its own",
             "WITH secrets AS (SELECT 'x' AS password), d AS (PIVOT secrets ON password) "
             "SELECT to_json(d) FROM d", False, LEAKS[0]),
        Spot("PIVOT's IN looks past every CTE",
             "WITH secrets AS (SELECT 'x' AS password) SELECT to_json(d) FROM (PIVOT sales ON "
             "quantity IN (SELECT password FROM secrets)) d", False, LEAKS[0]),
        Spot("settings", "SELECT name FROM duckdb_settings()", shows="threads"),
        Spot("one value of any size", "SELECT strlen(rpad('x', 30000000, 'y'))", False, "30000000"),
    ),
    "mariadb": (
        Spot("code in a comment", "SELECT 1 /*!50000 , LOAD_FILE('{files}/canary') */", False,
             LEAKS[1]),
        Spot("MariaDB's own comment", "SELECT 1 /*M!100000 , LOAD_FILE('{files}/canary') */",
             False, LEAKS[1]),
        Spot("a comment writes a file", f"SELECT 1 /*! INTO OUTFILE {_MADE} */"),
        Spot("INTO OUTFILE", f"SELECT name FROM products INTO OUTFILE {_MADE}"),
        Spot("INTO DUMPFILE", f"SELECT name INTO DUMPFILE {_MADE} FROM products LIMIT 1"),
        Spot("DDL", "DROP TABLE products"),
        Spot("CREATE TABLE", "CREATE TABLE more AS SELECT 1"),
        Spot("a grant", "GRANT SELECT ON shop.* TO x@localhost IDENTIFIED BY 'x'"),
        Spot("SET PASSWORD", "SET PASSWORD FOR root@localhost = PASSWORD('x')"),
        Spot("SET GLOBAL", "SET GLOBAL max_connections = 77"),
        Spot("a session's setting", "SET SESSION sql_mode = ''"),
        Spot("a named lock", "SELECT GET_LOCK('x', 1)"),
        Spot("LOCK TABLES", "LOCK TABLES products WRITE"),
        Spot("a sequence", "SELECT NEXTVAL(s)"),
        Spot("locking rows", "SELECT * FROM products FOR UPDATE INTO @x, @y, @z, @u, @v"),
        Spot("a limit lifted",
             "SET STATEMENT max_statement_time=0 FOR SELECT password FROM secrets",
             shows=LEAKS[0]),
        Spot("a variable", "SELECT @x := 1", locked=False),
        Spot("a file", "SELECT LOAD_FILE('{files}/canary')", False, LEAKS[1]),
        Spot("passwords of the server", "SELECT host, user, priv FROM mysql.global_priv", False,
             "root"),
        Spot("a hidden table", "SELECT password FROM secrets", False, LEAKS[0]),
        Spot("an argument that the parser drops",
             "SELECT DATE_FORMAT('2024-01-31', '%W', (SELECT IF(password LIKE 's%', 'de_DE', "
             "'en_US') FROM secrets))", False, "Mittwoch"),
        Spot("a variable in it", "SELECT DATE_FORMAT('2024-01-31', '%W', @x := 'de_DE')", False),
    ),
}  # fmt: skip


PAIRS = [pytest.param(e, s, id=f"{e}: {s.name}") for e, spots in SPOTS.items() for s in spots]


@pytest.fixture(scope="module")
def plays(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Playground]]:
    """`plays(engine)`: started at its first use, kept to the end of this file."""
    made: dict[str, Playground] = {}
    with ExitStack() as stack:

        def get(name: str) -> Playground:
            if name not in made:
                try:
                    made[name] = stack.enter_context(ENGINES[name]())
                except NoServerError as error:
                    pytest.skip(str(error))
            return made[name]

        yield get


def outcome(play: Playground, attempt: Any) -> tuple[str, bool]:
    """What an attempt shows, and whether it changes anything; what it changed is undone."""
    before, shown = play.fingerprint(), ""
    with suppress(Exception):  # each engine has its own kinds
        shown = str(attempt())
    changed = play.fingerprint_or_gone() != before
    if changed:
        play.renew()
    return shown, changed


@pytest.mark.parametrize(("name", "spot"), PAIRS)
def test_it_harms_and_is_refused(name: str, spot: Spot, plays: Callable[[str], Playground]) -> None:
    engine = plays(name)
    sql = spot.sql.replace("{files}", str(engine.files))
    tables = tuple(TABLES)

    shown, changed = outcome(engine, lambda: engine.run(sql, 5.0))
    assert spot.shows in shown if spot.shows else changed, f"no harm: {sql}"

    with pytest.raises(SQLRejected):
        check_sql(sql, shop(engine.dialect))

    forged = CheckedSQL(sql, engine.dialect, tables, seal=_SEAL)
    run: Any = lambda: run_sql(forged, engine.target, timeout_s=5.0).values.tolist()  # noqa: E731
    shown, changed = outcome(engine, run)
    harm = changed or bool(spot.shows and spot.shows in shown)
    assert harm is not spot.locked, (
        f"the lock alone {'fails on' if spot.locked else 'stops'}: {sql}"
    )


# ---------------------------------------------------------------- what needs a scene of its own


def test_sqlite_writes_files_though_it_is_opened_read_only(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    sqlite3.connect(path).executescript("CREATE TABLE shop (a); INSERT INTO shop VALUES (1);")
    url = f"sqlite:///file:{path}?mode=ro&uri=true"
    for number, text in enumerate(("ATTACH '{}' AS out", "VACUUM INTO '{}'")):
        target = tmp_path / f"out{number}.db"
        sql = text.format(target)
        engine = create_engine(url, poolclass=NullPool)
        forged = CheckedSQL(sql, "sqlite", ("shop",), seal=_SEAL)
        with pytest.raises(RunError):
            run_sql(forged, engine)
        assert not target.exists()

        raw = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            raw.execute("DELETE FROM shop")
        raw.execute(sql)
        if "ATTACH" in sql:
            raw.execute("CREATE TABLE out.x (a)")
        raw.close()
        assert target.exists()


def test_sqlite_does_not_look_for_ctrl_c_inside_one_step() -> None:
    """The progress handler asks to stop at once, and a value of 60 MB is made all the same; the
    limit on lengths is what holds it off."""
    asked: list[int] = []
    raw = sqlite3.connect(":memory:")
    raw.set_progress_handler(lambda: asked.append(1) or 1, 100)
    sql = "SELECT length(printf('%.*c', 99000000, 'x'))"
    assert raw.execute(sql).fetchone() == (99_000_000,)
    assert asked == []
    raw.close()
    with pytest.raises(SQLRejected):
        check_sql(sql, shop("sqlite"))
    forged = CheckedSQL(sql, "sqlite", (), seal=_SEAL)
    assert run_sql(forged, create_engine("sqlite://")).iat[0, 0] != 99_000_000  # what is left of it
    for worse in ("randomblob(99000000)", "zeroblob(99000000)"):
        forged = CheckedSQL(f"SELECT length({worse})", "sqlite", (), seal=_SEAL)
        with pytest.raises(RunError, match="too big"):
            run_sql(forged, create_engine("sqlite://"))


def test_duckdb_reads_and_writes_files_though_it_is_opened_read_only(tmp_path: Path) -> None:
    import duckdb

    path, out = tmp_path / "shop.duckdb", tmp_path / "out.csv"
    with duckdb.connect(str(path)) as maker:
        maker.execute("CREATE TABLE shop AS SELECT 1 AS a")
    with duckdb.connect(str(path), read_only=True) as reader:
        for sql in (f"COPY shop TO '{out}'", f"SELECT * FROM '{out}'"):
            forged = CheckedSQL(sql, "duckdb", ("shop",), seal=_SEAL)
            with pytest.raises(RunError):
                run_sql(forged, reader)
            reader.execute(sql)
            assert out.exists()


def test_postgres_notifies_others_from_a_read_only_transaction(postgres_url: str) -> None:
    import psycopg

    place = postgres_url.replace("+psycopg", "")
    sql = "SELECT pg_notify('shop', 'hello')"
    with psycopg.connect(place, autocommit=True) as hears:
        hears.execute("LISTEN shop")

        def heard() -> list[str]:
            return [note.payload for note in hears.notifies(timeout=0.3)]

        with psycopg.connect(place) as says:
            says.execute("SET TRANSACTION READ ONLY")
            says.execute(sql)
            says.commit()
        assert heard() == ["hello"]
        with pytest.raises(SQLRejected):
            check_sql(sql, shop("postgres"))
        # The guard's transaction is rolled back, and with it what it would have told.
        forged = CheckedSQL(sql, "postgres", (), seal=_SEAL)
        engine = create_engine(postgres_url)
        run_sql(forged, engine)
        engine.dispose()
        assert heard() == []


def test_postgres_ends_other_sessions(postgres_url: str) -> None:
    """No lock of the database stops a superuser's functions: the check does."""
    import psycopg

    with psycopg.connect(postgres_url.replace("+psycopg", "")) as victim:
        pid = victim.info.backend_pid
        sql = f"SELECT pg_terminate_backend({pid}, 5000)"
        with pytest.raises(SQLRejected):
            check_sql(sql, shop("postgres"))
        victim.execute("SELECT 1")
        engine = create_engine(postgres_url)
        run_sql(CheckedSQL(sql, "postgres", (), seal=_SEAL), engine)
        engine.dispose()
        with pytest.raises(psycopg.OperationalError):
            victim.execute("SELECT 1")


def test_mariadb_lifts_its_own_time_limit(mariadb_url: str) -> None:
    sql = "SET STATEMENT max_statement_time=0 FOR SELECT SLEEP(0.4)"
    engine = create_engine(mariadb_url)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SET SESSION max_statement_time = 0.1")
            with pytest.raises(OperationalError, match="max_statement_time exceeded"):
                connection.exec_driver_sql("SELECT SLEEP(0.4)")
            assert connection.exec_driver_sql(sql).scalar() == 0  # slept to its end
        with pytest.raises(SQLRejected):
            check_sql(sql, shop("mysql"))
        with pytest.raises(RunError, match="own parser"):
            run_sql(CheckedSQL(sql, "mysql", (), seal=_SEAL), engine)
    finally:
        engine.dispose()


# ---------------------------------------------------------------- the parser itself


def test_what_a_parser_writes_again_is_another_text() -> None:
    """sqlglot's own rendering of one everyday query computes something else on SQLite. So the
    text that runs is the text that was checked."""
    sql = "SELECT CAST(quantity AS DECIMAL(10, 2)) / 3 FROM products ORDER BY quantity"
    again = sqlglot.transpile(sql, read="sqlite", write="sqlite")[0]
    with closing(SQLitePlay()) as play:
        assert play.run(sql) != play.run(again)
        checked = check_sql(sql, shop("sqlite"))
        assert checked.sql == sql
        assert [tuple(row) for row in run_sql(checked, play.target).values] == play.run(sql)


BREAKS_THE_PARSER = {
    "RecursionError": "SELECT " + "NOT " * 3000 + "1",
    "TokenError": "SELECT 'x",
    "ParseError": "SELECT FROM WHERE",
}


@pytest.mark.parametrize("kind", BREAKS_THE_PARSER)
@pytest.mark.parametrize("dialect", ["sqlite", "postgres", "duckdb", "mysql"])
def test_whatever_the_parser_raises_is_a_refusal(kind: str, dialect: str) -> None:
    sql = BREAKS_THE_PARSER[kind]
    with pytest.raises(Exception) as raised:
        sqlglot.parse_one(sql, read=dialect)
    assert type(raised.value).__name__ == kind
    with pytest.raises(SQLRejected):
        check_sql(sql, shop(dialect))


def test_only_the_connections_own_dialect_reads_it_rightly() -> None:
    """A backslash hides a quote on MySQL and not on PostgreSQL: one text, two statements. Both
    are refused, because a setting of the server can switch the backslash on or off."""
    sql = r"SELECT 'a\' AS a, SLEEP(1) -- ' AS b"
    calls = {
        dialect: len(list(sqlglot.parse_one(sql, read=dialect).find_all(exp.Anonymous)))
        for dialect in ("postgres", "mysql")
    }
    assert calls == {"postgres": 1, "mysql": 0}
    for dialect in ("postgres", "mysql"):
        with pytest.raises(SQLRejected):
            check_sql(sql, shop(dialect))
