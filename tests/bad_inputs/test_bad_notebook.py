"""F, and the first row of each other section, through the magics in a real kernel.

Rows covered: names for the result (87), options (89), loading twice (91), `python -O` (99); a
wrong URL, no question, no weights, prose, a write, a time limit and a lost server as a notebook
shows them.
Not covered: fork (93), the confirm prompt (95), a check of installed versions (97).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from bad_input_helpers import SECRET
from kernel_helpers import Kernel, Reply, started_kernel

COUNT = "SELECT COUNT(*) AS n FROM sales"


@pytest.fixture(scope="module")
def started(quiet_jupyter: None) -> Iterator[Kernel]:
    with started_kernel() as kernel:
        assert kernel.run("%load_ext sqlcoder_magic").ok
        failed = kernel.run("%%nl2sql\nHow many?")  # before anything is connected
        assert failed.error[0] == "No database connection."
        assert kernel.value("'torch' in __import__('sys').modules") is False
        assert kernel.run("%sqlcoder connect sample").ok
        yield kernel


@pytest.fixture
def kernel(started: Kernel) -> Kernel:
    """The kernel with an empty fake model."""
    started.use_fake_model()
    started.said.clear()
    return started


def sentence(reply: Reply) -> str:
    """The error of an execution, after a look at whether it is fit for a notebook."""
    assert not reply.ok
    text = "\n".join(reply.error)
    assert "Traceback" not in text and 'File "' not in text and "\x1b" not in text
    assert 2 <= len(reply.error) <= 16 and reply.error[-1].strip()
    assert SECRET not in reply.everything() and not reply.stderr
    return text


# ---------------------------------------------------------------- 87, 89: names and options


@pytest.mark.parametrize(
    "name",
    "class print df.x _ _1 __builtins__ get_ipython In Out exit open None 1a a-b 'a_b_c;'".split(),
)
def test_87_names_that_are_taken_or_are_none(kernel: Kernel, name: str) -> None:
    text = sentence(kernel.run(f"%%nl2sql -o {name}\nHow many?"))
    assert "The result cannot be called" in text and "-o sales_by_city" in text
    assert kernel.value("len(fake.prompts)") == 0


def test_87_a_variable_that_is_there_is_replaced_aloud(kernel: Kernel) -> None:
    kernel.run("held = 'precious'")
    kernel.model_says("DELETE FROM sales", COUNT)
    sentence(kernel.run("%%nl2sql -o held\nHow many?"))
    assert kernel.value("held") == "precious"  # a refusal replaces nothing
    done = kernel.run("%%nl2sql -o held\nHow many?")
    assert done.ok and "The variable held was replaced." in done.shown()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--bogus", "There is no option --bogus."),
        ("--timout 3", "Did you mean --timeout?"),
        ("-rn5", "There is no option -rn5."),
        ("-o", "-o needs a value."),
        ("-n", "-n needs a value."),
        ("-r -r", "-r is given twice."),
        ("-r --run", "--run is given twice."),
        ("-o a --into b", "--into is given twice."),
        ("-n 5 --limit 6", "--limit is given twice."),
        ("--run=yes", "--run takes no value."),
        ("--limit -1", "--limit cannot be -1."),
        ("--limit 0", "--limit cannot be 0."),
        ("--limit 1e9", "--limit takes a whole number, not '1e9'."),
        ("--limit 99999999999", "10,000,000; there is no 'no limit'."),
        ("--timeout 0", "--timeout cannot be 0"),
        ("--timeout -5", "--timeout cannot be -5"),
        ("--timeout abc", "--timeout takes a number, not 'abc'."),
        ("--timeout nan", "--timeout cannot be nan"),
        ("--timeout inf", "--timeout cannot be inf"),
        ("--beams two", "--beams takes a whole number, not 'two'."),
        ("--quantization 5bit", "Choose one of: auto, 4bit"),
        ("--tables sale", "Nearest: sales"),
        ("how many", "is not an option"),
        ("-c nowhere", "There is no connection or variable called 'nowhere'"),
        ("-c fake", "FakeModel is not a database connection."),
        (f"-c postgrez://me:{SECRET}@h/d", "Did you mean postgresql://?"),
        (f"-c postgresql://me:{SECRET}@127.0.0.1:1/d", "Cannot reach postgresql://me:***@"),
        ("-c sqlite:////no/such.db", "no empty database was created"),
        ("--model nothing", "There is no model called 'nothing'."),
        ("--model /no/such", "There is no model directory /no/such."),
        ("--model ~no_such_user/x", "it cannot be a path"),
    ],
)
def test_89_options(kernel: Kernel, line: str, says: str) -> None:
    assert says in sentence(kernel.run(f"%%nl2sql {line}\nHow many?"))
    assert kernel.value("len(fake.prompts)") == 0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("bogus", "There is no command 'bogus'."),
        ("conect sample", "%sqlcoder connect WHERE [as ALIAS]"),
        ("connect", "connect takes one database."),
        ("connect sample as", "connect takes one database."),
        ("connect sqlite:////no/such.db", "no empty database was created"),
        (f"connect postgresql://me:{SECRET}@127.0.0.1:1/d as mine", "Cannot reach"),
        ("schema nosuch", "There is no table or view called 'nosuch'."),
        ("load /no/such", "There is no model directory"),
        ("load ~no_such_user/x", "it cannot be a path"),
        ("load a b", "load takes one model"),
        ("load sqlcoder-tiny 16bit", "'16bit' is one word too many"),
        ("load 4bit 8bit", "'8bit' is one word too many"),
        ("load --bogus", "'--bogus' is one word too many"),
    ],
)
def test_89_commands(kernel: Kernel, line: str, says: str) -> None:
    assert says in sentence(kernel.run(f"%sqlcoder {line}"))
    assert kernel.run("%sqlcoder status").ok  # connection and model are as they were
    assert "fake" in kernel.run("%sqlcoder status").stdout


@pytest.mark.parametrize("code", ["%%nl2sql\n  \n", "%%nl2sql\n# a note", "%nl2sql", "%nl2sql -r"])
def test_39_nothing_to_ask(kernel: Kernel, code: str) -> None:
    assert "There is no question." in sentence(kernel.run(code))
    assert kernel.value("len(fake.prompts)") == 0


# ---------------------------------------------------------------- what the model wrote


def test_61_prose(kernel: Kernel) -> None:
    kernel.model_says("I am only a model.")
    failed = kernel.run("%%nl2sql -r\nHow many?")
    assert "I am only a model." in sentence(failed) and failed.cells == []


def test_57_a_failure_of_the_users_own_query_keeps_the_cell(kernel: Kernel) -> None:
    kernel.model_says("SELECT ABS(-9223372036854775808) FROM sales")
    failed = kernel.run("%%nl2sql -r\nHow many?")
    assert "integer overflow" in sentence(failed)
    assert len(failed.cells) == 1 and "ABS" in failed.shown()


def test_67_a_time_limit_keeps_the_cell(kernel: Kernel) -> None:
    endless = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT MAX(i) FROM r"
    kernel.model_says(endless)
    failed = kernel.run("%%nl2sql -r --timeout 0.2\nHow many?")
    assert "time limit of 0.2 s" in sentence(failed)
    assert endless in failed.cells[0] and endless in failed.shown()


def test_03_a_lost_server_keeps_the_cell(kernel: Kernel, postgres_url: str) -> None:
    filled = kernel.run(
        "from sqlalchemy import create_engine\n"
        f"url = {postgres_url!r}\n"
        "admin, engine = create_engine(url), create_engine(url)\n"
        "with admin.begin() as connection:\n"
        "    connection.exec_driver_sql('CREATE TABLE sales AS SELECT 1 AS id')\n"
        "own = engine.connect()\n"
        "class Restart(FakeModel):\n"
        "    def generate(self, *args, **kwargs):\n"
        "        with admin.connect() as connection:\n"
        "            connection.exec_driver_sql('SELECT pg_terminate_backend(pid) FROM '\n"
        "                'pg_stat_activity WHERE pid <> pg_backend_pid() '\n"
        "                'AND datname = current_database()')\n"
        "        __import__('time').sleep(0.2)\n"
        "        return super().generate(*args, **kwargs)\n"
        f"use_model(Restart([{COUNT!r}]))"
    )
    assert filled.ok, filled.error
    failed = kernel.run("%%nl2sql -r -c own\nHow many?")
    assert "lost" in sentence(failed)
    assert COUNT in failed.shown() and COUNT in failed.cells[0]
    assert kernel.run("own.invalidate(); own.close(); engine.dispose(); admin.dispose()").ok


def test_77_the_question_is_shown_as_text(kernel: Kernel) -> None:
    kernel.model_says("SELECT '<img src=x onerror=alert(1)>' AS \"$a$\"")
    page = kernel.run("%%nl2sql -r\n<script>alert(1)</script> {{x}} :y").shown("text/html")
    assert "<script" not in page and "<img" not in page and "$a$" not in page


def test_41_half_a_pair_reaches_no_cell_as_such(kernel: Kernel) -> None:
    kernel.model_says(COUNT)
    asked = kernel.run("get_ipython().run_cell_magic('nl2sql', '-r', 'how many \\udce4?')")
    assert asked.ok, asked.error
    assert kernel.value("2 + 2") == 4


# ---------------------------------------------------------------- 91, 99


def test_91_loading_again_adds_nothing(kernel: Kernel) -> None:
    hooks = "[len(get_ipython().input_transformers_cleanup), len(get_ipython().configurables)]"
    before = kernel.value(hooks)
    for line in ("%load_ext sqlcoder_magic", "%reload_ext sqlcoder_magic") * 2:
        assert kernel.run(line).ok
    assert kernel.value(hooks) == before
    assert kernel.value("__import__('sqlcoder_magic.models').models.current_model() is fake")
    kernel.run("%unload_ext sqlcoder_magic")
    assert not kernel.run("%%nl2sql\nHow many?").ok
    assert kernel.run("%load_ext sqlcoder_magic").ok
    assert kernel.value(hooks) == before


def test_99_the_guard_needs_no_asserts() -> None:
    code = (
        "from sqlcoder_magic import FakeModel, ask\n"
        "for reply in ('DROP TABLE sales', 'SELECT * FROM sqlite_master', 'SELECT x FROM sales'):\n"
        "    answer = ask('How many?', 'sample', FakeModel([reply]), run=True)\n"
        "    print(type(answer.error).__name__, answer.frame is None)\n"
    )
    ran = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True)
    assert ran.stdout.split() == ["SQLRejected", "True"] * 3, ran.stderr


# ---------------------------------------------------------------- before, between and after


def test_a_wrong_setting_does_not_stop_the_extension_from_loading(quiet_jupyter: None) -> None:
    with started_kernel() as kernel:
        assert kernel.run("%load_ext sqlcoder_magic").ok
        kernel.run("%config NL2SQL.row_limit = 0")
        assert kernel.run("%reload_ext sqlcoder_magic").ok


def test_a_path_with_a_space_can_be_connected(kernel: Kernel) -> None:
    made = kernel.run(
        "import sqlite3, tempfile\n"
        "path = tempfile.mkdtemp() + '/my shop.db'\n"
        "with sqlite3.connect(path) as c: c.execute('CREATE TABLE t (a)')\n"
        "c.close()\n"
        "get_ipython().run_line_magic('sqlcoder', f'connect \"sqlite:///{path}\"')"
    )
    assert made.ok


def test_no_progress_is_left_above_an_error(kernel: Kernel) -> None:
    failed = kernel.run("%%nl2sql --model nothing\nHow many?")
    assert "reading the schema" not in failed.shown()
    failed = kernel.run("%sqlcoder load nothing")
    assert failed.error and "nothing" not in failed.shown()
