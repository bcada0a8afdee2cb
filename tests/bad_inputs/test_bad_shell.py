"""Bad input of `python -m sqlcoder_magic`: a sentence on stderr, a status, no traceback.

`main` is called in this process with a fake model; one call goes through a real shell. Numbers are
table rows.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from bad_input_helpers import SECRET

from sqlcoder_magic import FakeModel, use_model
from sqlcoder_magic.__main__ import main
from sqlcoder_magic.models import unload_model

COUNT = "SELECT COUNT(*) AS n FROM sales"


@pytest.fixture
def model() -> Iterator[FakeModel]:
    """The model that answers, without replies yet."""
    fake = FakeModel()
    use_model(fake)
    yield fake
    unload_model()


def said(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    """What stands on stderr; stdout has no traceback and no secret either."""
    assert main(arguments) == status
    out, err = capsys.readouterr()
    for text in (out, err):
        assert "Traceback" not in text and 'File "' not in text and SECRET not in text
    return err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--bogus",), "--bogus"),
        (("--lim", "3"), "--lim"),
        (("many",), "many"),
        (("-n", "0"), "--limit cannot be 0."),
        (("-n", "1e9"), "--limit takes a whole number, not '1e9'."),
        (("--timeout", "abc"), "--timeout takes a number, not 'abc'."),
        (("--timeout", "nan"), "--timeout cannot be nan."),
        (("--quantization", "5bit"), "Choose one of"),
        (("-o", "df"), "-o binds a variable of a notebook"),
        (("--tables", "sale"), "Nearest: sales"),
    ],
)
def test_89_wrong_options(
    model: FakeModel, arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in said(capsys, 2, "-q", "How many?", *arguments)
    assert model.prompts == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-c", "nowhere"), "There is no connection or variable called 'nowhere'"),
        (("-c", "sqlite:////no/such.db"), "no empty database was created"),
        (("-c", f"postgrez://me:{SECRET}@h/d"), "Did you mean postgresql://?"),
        (("-c", f"postgresql://me:{SECRET}@127.0.0.1:1/d"), "Cannot reach postgresql://me:***@"),
        (("--model", "/no/such"), "There is no model directory /no/such."),
        (("--model", "~no_such_user/x"), "it cannot be a path"),
    ],
)
def test_11_49_what_is_not_there(
    model: FakeModel, arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in said(capsys, 1, "-q", "How many?", *arguments)
    assert model.prompts == []


def test_no_question_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "--question" in capsys.readouterr().out


def test_39_61_one_bad_question_of_three(
    model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    model.enqueue(["I cannot say.", COUNT])
    assert main(["-q", "How?", "-q", " ", "-q", "How many?", "--run"]) == 1
    out, err = capsys.readouterr()
    assert "I cannot say." in err and "There is no question." in err
    assert COUNT in out and "1 row" in out  # the third was asked all the same


def test_a_write_is_shown_and_not_run(model: FakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    model.enqueue(["DELETE FROM sales"])
    assert main(["-q", "Empty it", "--run"]) == 3  # some SQL was not run
    out = capsys.readouterr().out
    assert "DELETE FROM sales;" in out and "not let through" in out


def test_debug_shows_where_it_went_wrong(
    model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"postgresql://me:{SECRET}@127.0.0.1:1/d"
    assert main(["-q", "How many?", "-c", url, "--debug"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err and "Cannot reach" in err and SECRET not in err


def test_59_ctrl_c(
    model: FakeModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model.enqueue([KeyboardInterrupt()])
    assert "Stopped" in said(capsys, 130, "-q", "How many?")

    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sqlcoder_magic.__main__.open_database", pressed)
    assert "Stopped" in said(capsys, 130, "-q", "How many?")


def test_41_bytes_that_are_no_text() -> None:
    """A shell hands them over as half pairs, which no stream can print."""
    ran = subprocess.run(
        [sys.executable, "-m", "sqlcoder_magic", "-q", b"\xe4 how many?", "-c", b"sqlite:///\xe4"],
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    assert ran.returncode == 1 and b"There is no file" in ran.stderr
    assert b"Traceback" not in ran.stdout + ran.stderr
