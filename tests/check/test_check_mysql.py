"""MySQL's list of functions against a real server, and what the server runs that nobody checked.

The server is a MariaDB; a name that only Oracle's MySQL has stands here by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymysql
import pytest
from check_shop import shop

from sqlcoder_magic.check import check_sql
from sqlcoder_magic.check.functions import listed
from sqlcoder_magic.errors import SQLRejected

Run = Callable[[str], list[tuple[Any, ...]]]
NO_SUCH_FUNCTION = (1305, 1630)
SYNTAX = {"against", "json_table"}  # MATCH ... AGAINST (...), and a function that stands in FROM
# In no MariaDB up to 10.11, by its list of functions.
ORACLES_ALONE = {"any_value", "bin_to_uuid", "grouping", "is_uuid", "regexp_like", "uuid_to_bin"}


def test_every_name_on_the_list_is_a_function_of_the_server(mysql_run: Run) -> None:
    unknown = set()
    for name in listed("mysql"):
        try:
            mysql_run(f"SELECT {name}()")
        except pymysql.err.Error as error:  # mostly about the missing arguments
            if error.args[0] in NO_SUCH_FUNCTION:
                unknown.add(name)
    assert unknown == SYNTAX | ORACLES_ALONE


HARMFUL = """
SELECT LOAD_FILE('/etc/hostname')
SELECT SLEEP(0.01)
SELECT IF(SLEEP(0.01), 1, 2)
SELECT BENCHMARK(1000, MD5('a'))
SELECT GET_LOCK('x', 0)
SELECT RELEASE_ALL_LOCKS()
SELECT USER(), CURRENT_USER(), DATABASE(), VERSION(), CONNECTION_ID()
SELECT CURRENT_USER
SELECT @x := 1
SELECT @@datadir, @@secure_file_priv
SELECT 1 /*!50000 , LOAD_FILE('/etc/hostname') */
SELECT /*!SLEEP(0.01),*/ 1
SELECT /*M!100000 LOAD_FILE('/etc/hostname') */ FROM DUAL
SELECT 1--SLEEP(0.01)
SELECT `sleep`(0.01)
SELECT * FROM mysql.user
SELECT * FROM `mysql`.`global_priv`
SELECT * FROM information_schema.processlist
SELECT name INTO @x FROM products LIMIT 1
SELECT * FROM products FOR UPDATE
SELECT * FROM products LOCK IN SHARE MODE
SELECT LAST_INSERT_ID(5)
SELECT EXTRACTVALUE('<a>b</a>', '/a')
SELECT * FROM products, mysql.db
SELECT UUID_SHORT(), RANDOM_BYTES(8), SYS_GUID()
SET STATEMENT max_statement_time=0 FOR SELECT 1
EXECUTE IMMEDIATE 'SELECT 1'
ANALYZE FORMAT=JSON SELECT SLEEP(0.01)
HANDLER products OPEN
DO SLEEP(0.01)
SHOW GRANTS
SELECT 1 FROM DUAL WHERE 1 = 1 PROCEDURE ANALYSE()
""".strip().splitlines()


@pytest.mark.parametrize("sql", HARMFUL)
def test_what_the_server_runs_is_refused(sql: str, mysql_run: Run) -> None:
    mysql_run(sql)
    mysql_run("DO RELEASE_ALL_LOCKS()")
    with pytest.raises(SQLRejected):
        check_sql(sql, shop("mysql"))


@pytest.mark.parametrize(
    "form", ["SELECT 'x' INTO OUTFILE '{}'", "SELECT 1 /*! INTO OUTFILE '{}' */"]
)
def test_a_file_is_written(form: str, mysql_run: Run, mariadb_root_url: str) -> None:
    from sqlalchemy import make_url

    socket = Path(str(make_url(mariadb_root_url).query["unix_socket"]))
    path = socket.with_name("from_check")
    path.unlink(missing_ok=True)
    mysql_run(form.format(path))
    assert path.exists()
    path.unlink()
    with pytest.raises(SQLRejected):
        check_sql(form.format(path), shop("mysql"))


def test_a_table_called_dual_is_a_table(mysql_run: Run) -> None:
    mysql_run("CREATE TABLE `dual` (planted INT)")
    try:
        mysql_run("INSERT INTO `dual` VALUES (7)")
        assert mysql_run("SELECT * FROM `dual`")[0][0] == 7
    finally:
        mysql_run("DROP TABLE `dual`")
    with pytest.raises(SQLRejected):
        check_sql("SELECT * FROM `dual`", shop("mysql"))
    assert check_sql("SELECT 1 FROM DUAL", shop("mysql"))
