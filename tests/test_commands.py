"""What `%sqlcoder help` lists, and what a terminal is shown of an answer."""

from __future__ import annotations

import pytest

from sqlcoder_magic import Answer, Draft, Question, register_model
from sqlcoder_magic.commands import HELP, run, show_answer
from sqlcoder_magic.display import TerminalWatcher
from sqlcoder_magic.models import catalog
from sqlcoder_magic.settings import Settings

PROMPT = "{table_metadata_string}\n-- {user_question}\n"


def test_a_terminal_is_told_the_time_to_the_first_token(
    capsys: pytest.CaptureFixture[str],
) -> None:
    draft = Draft("SELECT 1", "fake\x1b[31m", 10, 2, 1.5, 0.25)
    timings = {"load": 1.0, "first_token": 0.25, "generate": 1.5}
    answer = Answer(Question("q"), "SELECT 1", None, None, draft, timings=timings)
    show_answer(answer, TerminalWatcher())
    sql, seconds = capsys.readouterr().out.splitlines()
    assert sql == "SELECT 1;" and seconds.startswith("-- fake\\x1b[31m · 10 tokens read, 2 written")
    assert "first token 0.25 s, generation 1.50 s" in seconds


def test_help_lists_every_command_and_model(capsys: pytest.CaptureFixture[str]) -> None:
    run("help", None, Settings())
    page = capsys.readouterr().out
    assert all(f"  {command}" in page for command in HELP)
    assert all((entry.repo or entry.name) in page for entry in catalog.CATALOG)
    assert "registered" not in page.split("Models:")[1]


def test_help_lists_the_models_of_ones_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "_registered", {})
    register_model("Ours", "/data/our-\x1b[31mfinetune", prompt=PROMPT)
    run("help", None, Settings())
    first, second = capsys.readouterr().out.split("Models:\n")[1].splitlines()[:2]
    assert first.split() == ["ours", "registered:", "/data/our-\\x1b[31mfinetune"]
    assert second.split()[0] == catalog.CATALOG[0].name
