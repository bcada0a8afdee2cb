"""`%sqlcoder schema` in a terminal, which shows no HTML: text, and Mermaid for a picture."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sqlcoder_magic import browsing
from sqlcoder_magic.connection import open_database
from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.settings import Settings


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A terminal's shell, whose current connection is the sample shop."""
    monkeypatch.setattr(browsing, "open_database", lambda *_: open_database("sample"))
    return SimpleNamespace(user_ns={})


def test_a_terminal_gets_text(shell: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    browsing.schema([], shell, Settings())
    assert "products (product_id, name, price, quantity)\n" in capsys.readouterr().out
    browsing.schema(["sales"], shell, Settings())
    out = capsys.readouterr().out
    assert "sale_id INTEGER PRIMARY KEY" in out and "product_id → products (product_id)" in out
    assert "supply_price" not in out and "<" not in out


def test_a_terminals_picture_is_mermaid(
    shell: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    browsing.schema(["--er", "sales,customers"], shell, Settings())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "erDiagram" and '  t1["sales"] {' in lines
    assert '  t1 }o--|| t0 : "customer_id"' in lines


@pytest.mark.parametrize("words", [["--big"], ["--text", "--er"], ["--er", "nothing"]])
def test_what_it_does_not_take(shell: SimpleNamespace, words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        browsing.schema(words, shell, Settings())
    assert caught.value.fix
