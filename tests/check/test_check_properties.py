"""Whatever the text, the check answers with its seal or with SQLRejected, never otherwise."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import suppress

import pytest
from check_shop import DIALECTS, ddl, good_statements, hostile_statements, shop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlcoder_magic.check import check_sql, extract_sql, is_refusal, translate
from sqlcoder_magic.check.functions import listed
from sqlcoder_magic.errors import NoSQLError, SQLRejected

SCHEMAS = {dialect: shop(dialect) for dialect in DIALECTS}
GOOD = [(dialect, sql) for dialect in DIALECTS for sql in good_statements(dialect)]
PIECES = [
    *("(", ")", "'", '"', "`", "[", "]", ";", ",", ".", "*", "--", "/*", "*/", "\\", "::", "$$"),
    *("\n", "\x00", "\u202e", "é", "😀", "@", "?", ":x", "%s", "{", "}", "->", "||", "=", "0x"),
    *(" SELECT ", " FROM ", " WITH x AS (", " UNION ", " DELETE FROM ", " INTO ", " JOIN "),
    *(" products ", " secrets ", " LATERAL ", " UNNEST(", " PIVOT(", " ORDER BY ", " OVER ("),
    *(" x.y ", " p.name ", " t.* ", " ORDER BY a.b ", " FULL JOIN ", " UNION SELECT a.b "),
    *(" pg_sleep(1) ", " INTERVAL '1 day' ", " NOT ", " CASE WHEN ", " EXPLAIN ", " VALUES "),
]
# Always the same examples; `test_check_fuzz.py` has the tests that look for new ones.
QUICK = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """An everyday statement with a few pieces put in, cut out, doubled or taken from another."""
    dialect, sql = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(sql)))
        to = min(len(sql), at + draw(st.integers(0, 12)))
        other = draw(st.sampled_from(GOOD))[1]
        start = draw(st.integers(0, len(other)))
        piece = draw(st.sampled_from([*PIECES, "", sql[at:to], other[start : start + 20]]))
        sql = sql[:at] + piece + sql[draw(st.sampled_from([at, to])) :]
    return dialect, sql


@QUICK
@given(mutated())
def test_a_mutated_statement_never_crashes_the_check(case: tuple[str, str]) -> None:
    dialect, sql = case
    try:
        assert check_sql(sql, SCHEMAS[dialect]).sql == sql
    except SQLRejected as error:
        assert error.sql == sql
        assert error.rule


@QUICK
@given(mutated())
def test_a_mutated_draft_never_crashes_the_steps_before(case: tuple[str, str]) -> None:
    dialect, draft = case
    is_refusal(draft)
    try:
        sql = extract_sql(draft)
    except NoSQLError as error:
        assert error.text == draft
        return
    written, notes = translate(sql, write=dialect)
    assert isinstance(written, str)
    assert bool(notes) == (written != sql)


@QUICK
@given(st.sampled_from(DIALECTS), st.text(max_size=200))
def test_any_text_at_all(dialect: str, text: str) -> None:
    for prefix in ("", "SELECT ", "SELECT * FROM "):
        try:
            check_sql(prefix + text, SCHEMAS[dialect])
        except SQLRejected as error:
            assert error.sql == prefix + text


@QUICK
@given(st.sampled_from(GOOD), st.sampled_from([c for c in hostile_statements() if len(c[2]) < 200]))
def test_a_hostile_statement_stays_refused_inside_a_good_one(
    good: tuple[str, str], hostile: tuple[str, str, str]
) -> None:
    dialect, sql = good
    _, rule, bad = hostile
    if rule in ("parse", "columns", "statement"):
        return  # hopeless rather than hostile: in another place it can have a good reading
    for text in (f"{sql}\n; {bad}", f"SELECT * FROM ({bad}) AS t1"):
        with pytest.raises(SQLRejected):
            check_sql(text, SCHEMAS[hostile[0] if text.startswith("SELECT * FROM (") else dialect])


def _content(connection: sqlite3.Connection) -> str:
    return hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()


@pytest.fixture(scope="module")
def unlocked() -> Iterator[sqlite3.Connection]:
    """The shop on SQLite, without any lock."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in ddl("sqlite"):
        connection.execute(statement)
    yield connection
    connection.close()


@QUICK
@given(case=mutated())
def test_nothing_that_passes_writes(case: tuple[str, str], unlocked: sqlite3.Connection) -> None:
    sql = case[1]
    try:
        check_sql(sql, SCHEMAS["sqlite"])
    except SQLRejected:
        return
    unlocked.set_progress_handler(None, 0)
    before = _content(unlocked), unlocked.total_changes
    unlocked.set_progress_handler(lambda: 1, 200_000)
    with suppress(sqlite3.Error):  # a name or a type that only the engine knows to be wrong
        unlocked.execute(sql).fetchmany(100)
    unlocked.set_progress_handler(None, 0)
    assert (_content(unlocked), unlocked.total_changes) == before
    assert [row[1] for row in unlocked.execute("PRAGMA database_list")] == ["main"]


@pytest.mark.parametrize("dialect", ["sqlite", "postgres", "duckdb"])
def test_no_listed_function_touches_files_settings_or_sessions(dialect: str) -> None:
    forbidden = ("read_", "_read", "file", "load", "sleep", "lock", "setting", "set_config")
    forbidden += ("nextval", "setval", "setseed", "getenv", "query_", "execute", "dblink", "scan")
    harmless = {"querytree", "json_query", "parse_filename", "clock_timestamp"}
    harmless |= {"jsonb_path_query", "jsonb_path_query_array", "jsonb_path_query_first"}
    found = [n for n in listed(dialect) - harmless if any(word in n for word in forbidden)]
    assert found == []


CATALOGUES = {
    "sqlite": "SELECT name FROM pragma_function_list",
    "postgres": "SELECT DISTINCT proname FROM pg_proc",
    "duckdb": "SELECT DISTINCT lower(function_name) FROM duckdb_functions()",
}


@pytest.mark.parametrize("dialect", CATALOGUES)
def test_listed_functions_exist(dialect: str, request) -> None:
    """A name that the engine does not have is a slip of the pen, or syntax, or a newer engine."""
    names = {name for (name,) in request.getfixturevalue(f"{dialect}_run")(CATALOGUES[dialect])}
    missing = listed(dialect) - names - ELSEWHERE[dialect] - SYNTAX
    assert sorted(missing) == []


# Written with brackets, yet no entry of a catalogue.
SYNTAX = frozenset(
    "array row cast "
    "coalesce current_date current_time current_timestamp date every extract greatest "
    "grouping grouping_id ifnull json_array json_arrayagg json_exists json_objectagg json_query "
    "json_scalar json_value least localtime localtimestamp nullif percentile_cont "
    "percentile_disc timestamp trim try try_cast".split()
)
# Of a later version than a machine may have, or of an extension that only computes.
ELSEWHERE = {
    "sqlite": frozenset(
        "concat concat_ws if json_each json_tree jsonb jsonb_array jsonb_extract jsonb_group_array "
        "jsonb_group_object jsonb_object log2 median octet_length percentile string_agg timediff "
        "trunc unhex".split()
    ),
    "postgres": frozenset(
        "array_reverse array_sort casefold gamma levenshtein metaphone similarity soundex unaccent "
        "uuidv4 uuidv7 word_similarity".split()
    ),
    "duckdb": frozenset(),
}
