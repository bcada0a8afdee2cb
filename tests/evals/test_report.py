"""The report's figures, computed by hand here."""

from __future__ import annotations

import pytest

from sqlcoder_magic.evals.outcome import Outcome, RunInfo
from sqlcoder_magic.evals.report import html_page, interval, markdown

INFO = RunInfo("zoo", 4, "model", False)


def outcome(name: str, status: str, defog: bool, strict: bool, category: str) -> Outcome:
    hardness = "easy" if strict else "hard"
    return Outcome(name, "zoo", category, hardness, "?", "", "", status, "", defog, strict, 1.5, 20)


OUTCOMES = (
    outcome("1", "ran", True, True, "where"),
    outcome("2", "ran", True, False, "where"),
    outcome("3", "failed", False, False, "where"),
    outcome("4", "refused", False, False, "date"),
    outcome("5", "gold", False, False, "date"),
)


def cells(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_percentages_by_category() -> None:
    text = markdown(INFO, OUTCOMES)
    where = cells(text, "where")
    assert where[1] == "3"
    assert where[2].startswith("66.7 % (")
    assert where[3].startswith("33.3 % (")
    assert where[4] == "66.7 %"
    assert cells(text, "date")[1:3] == ["1", "0.0 % (0-98)"]
    assert cells(text, "**all**")[1] == "4"
    assert cells(text, "**all**")[2].startswith("50.0 % (")
    assert cells(text, "easy")[1:3] == ["1", "100.0 % (2-100)"]


def test_what_became_of_the_drafts() -> None:
    text = markdown(INFO, OUTCOMES, machine="two cores")
    assert "# zoo: 4 questions, model" in text
    assert "Guard: off. Repair: off. Machine: two cores." in text
    assert "Drafts that parse: 75.0 %." in text
    assert "2 ran, 1 the model said that it does not know, 1 failed in" in text
    assert "median 1.50 s a question, 6 s in all, 80 tokens" in text
    assert "1 questions do not count: their gold did not run." in text


def test_a_run_without_questions() -> None:
    text = markdown(RunInfo("none", 0, "model", True), ())
    assert "Guard: on." in text
    assert cells(text, "**all**") == ["**all**", "0", "- (0-100)", "- (0-100)", "-"]


def test_the_interval_holds_the_share_and_narrows() -> None:
    few, many = interval([True, False] * 10), interval([True, False] * 500)
    assert few[0] < many[0] < 0.5 < many[1] < few[1]
    # The normal approximation for n = 1,000 at a half: 0.5 ± 1.96 * 0.0158.
    assert many == pytest.approx((0.469, 0.531), abs=0.01)
    assert interval([True, False] * 10) == few
    assert interval([]) == (0.0, 1.0)


def test_all_right_is_not_certain() -> None:
    # The exact interval for 10 of 10: 0.025 ** (1 / 10) = 0.6915.
    assert interval([True] * 10) == pytest.approx((0.6915, 1.0), abs=1e-4)
    assert interval([False] * 10) == pytest.approx((0.0, 0.3085), abs=1e-4)


def test_the_page_holds_the_same_figures_and_nothing_from_elsewhere() -> None:
    page = html_page(INFO, OUTCOMES, machine="two cores")
    assert "<h1>zoo: 4 questions, model</h1>" in page
    assert "<td>66.7 % (0-100)</td>" in page and "<td>where</td>" in page
    assert "<td>all</td>" in page
    assert "Not right by both rules: 4" in page
    assert "http" not in page and "<script" not in page and "src=" not in page


def test_the_page_escapes_what_others_wrote() -> None:
    evil = "<script>alert(1)</script>\x1b[2J"
    bad = Outcome(evil, evil, evil, evil, evil, evil, evil, "failed", evil, False, False, 1.0, 3)
    page = html_page(RunInfo(evil, 1, evil, True), [bad])
    assert "<script" not in page and "\x1b" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[2J") >= 7


def test_a_bar_in_a_name_does_not_break_the_table() -> None:
    text = markdown(INFO, [outcome("1", "ran", True, True, "a|b")])
    assert "| a\\|b | 1 |" in text


def test_latency() -> None:
    from dataclasses import replace

    timed = [
        replace(outcome(str(i), "ran", True, True, "x"), seconds=float(i), first_token_s=0.5)
        for i in range(1, 11)
    ]
    assert (
        "median 5.50 s a question, 55 s in all, 200 tokens; nine in ten took at most 10.00 s, "
        "the first token came after 0.50 s (median)." in markdown(INFO, timed)
    )
