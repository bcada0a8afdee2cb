"""What a user takes off or puts on the guard, in a real kernel: functions, engines, the plan."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kernel_helpers import Kernel, started_kernel


@pytest.fixture(scope="module")
def started() -> Iterator[Kernel]:
    with started_kernel() as kernel:
        assert kernel.run("%load_ext sqlcoder_magic\n%sqlcoder connect sample").ok
        yield kernel


@pytest.fixture
def kernel(started: Kernel) -> Kernel:
    started.run("%reload_ext sqlcoder_magic")
    started.run("%config NL2SQL.allowed_functions = ''")
    started.use_fake_model()
    return started


def test_each_allowed_function_is_shown(kernel: Kernel) -> None:
    assert "allowed function" not in kernel.run("%sqlcoder status").stdout
    assert kernel.run("%config NL2SQL.allowed_functions = 'net, vat'").ok
    status = kernel.run("%sqlcoder status").stdout
    assert "net (yours)" in status and "vat (yours)" in status
    assert "allowed_functions" in kernel.run("%sqlcoder config").stdout
    assert "'net, vat'" in kernel.run("%sqlcoder config").stdout


def test_the_setting_and_the_flag_reach_the_check(kernel: Kernel) -> None:
    sql = "SELECT vat(8) AS tax"
    kernel.model_says(sql, sql, sql)
    assert "vat is not on the list" in kernel.run("%%nl2sql --no-cell\nTax?").shown()
    shown = kernel.run("%%nl2sql --no-cell --allow-function vat\nTax?").shown()
    assert "not on the list" not in shown
    kernel.run("%config NL2SQL.allowed_functions = 'vat'")
    assert "not on the list" not in kernel.run("%%nl2sql --no-cell\nTax?").shown()


def test_a_name_that_is_none_is_a_sentence(kernel: Kernel) -> None:
    asked = kernel.run("%%nl2sql --allow-function a;b\nTax?")
    assert not asked.ok and "cannot name 'a;b'" in " ".join(asked.error)


def test_lifted_engines_are_shown(kernel: Kernel) -> None:
    kernel.run("%config NL2SQL.allow_unverified_engine = True")
    assert "never tried against a real one" in kernel.run("%sqlcoder status").stdout


def test_the_plan_is_shown_in_the_cell(kernel: Kernel) -> None:
    kernel.model_says("SELECT COUNT(*) FROM sales")
    asked = kernel.run("%%nl2sql --explain\nHow many sales?")
    assert asked.ok and "SCAN sales" in asked.shown() and "SCAN sales" in asked.shown("text/html")
    assert "<table" not in asked.shown("text/html") and len(asked.cells) == 1


def test_a_plan_that_fails_is_an_error_of_the_cell(kernel: Kernel) -> None:
    kernel.model_says("SELECT SUM(COUNT(*)) FROM sales")
    asked = kernel.run("%%nl2sql --explain\nHow many sales?")
    assert not asked.ok and "could not run the query" in " ".join(asked.error)
