"""Two runs compared: figures computed by hand, and the ablation table made of several."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.evals.__main__ import main
from sqlcoder_magic.evals.ablation import ablation_table, write_table
from sqlcoder_magic.evals.compare import compare, mcnemar
from sqlcoder_magic.evals.outcome import Outcome, RunInfo, read_record


def run(rights: str, **changed: str) -> list[Outcome]:
    """An outcome for each letter: `+` right by both rules, `~` by Defog's alone, `-` wrong."""
    return [
        Outcome(
            f"q{i}", "zoo", "where", "easy", f"Question {i}?", "", "", changed.get(f"q{i}", "ran"),
            "", right in "+~", right == "+", 2.0, 10,
        )
        for i, right in enumerate(rights)
    ]  # fmt: skip


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    # Two-sided binomial: 2 * (1 + 10) / 2**10 for one of ten.
    assert mcnemar(9, 1) == mcnemar(1, 9) == pytest.approx(22 / 1024)
    assert mcnemar(0, 6) == pytest.approx(2 / 64)
    assert 0 <= mcnemar(3000, 2000) < 1e-40


def test_won_lost_and_difference() -> None:
    found = compare(run("++--+~"), run("+--++-"))
    assert [one.id for one in found.won] == ["q3"]
    assert [one.id for one in found.lost] == ["q1", "q5"]
    assert (found.n, found.first, found.second) == (6, 4 / 6, 3 / 6)
    assert found.difference == pytest.approx(-1 / 6)
    assert found.interval[0] < found.difference < found.interval[1]
    assert found.p == 1.0
    strict = compare(run("++--+~"), run("+--++-"), rule="strict")
    assert [one.id for one in strict.lost] == ["q1"]


def test_a_run_against_itself_changes_nothing() -> None:
    found = compare(run("+-+"), run("+-+"))
    assert (found.won, found.lost, found.interval, found.p) == ((), (), (0.0, 0.0), 1.0)


def test_only_what_counts_in_both_is_paired() -> None:
    first, second = run("+++", q0="gold"), run("---", q1="gold")
    found = compare(first, [*second, replace(second[0], id="other")])
    assert (found.n, [one.id for one in found.lost]) == (1, ["q2"])
    with pytest.raises(OptionError, match="no question in common"):
        compare(first, [])


# ---------------------------------------------------------------- the ablation table


def write(path: Path, outcomes: list[Outcome], **info: object) -> None:
    wanted = RunInfo("zoo", len(outcomes), "tiny", False)
    lines = [{**asdict(wanted), **info}, *map(asdict, outcomes)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_rows_in_order_and_what_each_broke(tmp_path: Path) -> None:
    write(tmp_path / "repair.jsonl", run("++++-+"))
    write(tmp_path / "greedy.jsonl", run("++--+-", q5="failed"))
    table = ablation_table(tmp_path).splitlines()
    assert table[0].startswith("zoo, 6 questions, tiny, sqlite.")
    greedy, repair = table[4:6]
    assert greedy.startswith("| greedy, nothing else | 50.0 % (")
    assert "|  |  |  |  | 50.0 % | 83.3 % | 2.00 |" in greedy
    assert repair.startswith("| + repair with the schema | 83.3 % (")
    assert "| +33.3 (" in repair and "| 0.62 | 3 | 1 | 83.3 % | 100.0 % | 2.00 |" in repair
    assert table[-1] == "- + repair with the schema: q4"
    assert sum(line.startswith("| ") for line in table) == 3, "no row for a step without a run"


def test_the_table_goes_into_the_page_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "accuracy.md"
    page.write_text("Before\n<!-- ablation -->\nold\n<!-- /ablation -->\nafter\n")
    write(tmp_path / "greedy.jsonl", run("+-"))
    assert main(["ablation", str(tmp_path), "--write", str(page)]) == 0
    text = page.read_text()
    assert "old" not in text and "| greedy, nothing else | 50.0 %" in text
    assert text.startswith("Before\n<!-- ablation -->\n")
    assert text.endswith("<!-- /ablation -->\nafter\n")
    page.write_text("nothing")
    with pytest.raises(OptionError, match="no place for the table"):
        write_table(page, "")


def test_a_run_that_did_not_end_makes_no_row(tmp_path: Path) -> None:
    write(tmp_path / "greedy.jsonl", run("+-"), questions=3)
    with pytest.raises(OptionError, match="did not end: 2 of 3"):
        ablation_table(tmp_path)


def test_the_record_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """Without the fields that came later, and with the lines of its outcomes as they were."""
    path = tmp_path / "old.jsonl"
    later = ("first_token_s", "prompt_tokens", "logprob")
    outcomes = [
        {name: value for name, value in asdict(one).items() if name not in later}
        for one in run("+-")
    ]
    info = {"suite": "zoo", "questions": 2, "model": "tiny", "check": False}
    path.write_text("\n".join(map(json.dumps, [info, *outcomes])))
    found, read = read_record(path)
    assert found == RunInfo("zoo", 2, "tiny", False)
    assert list(read) == run("+-")


def test_a_file_that_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "a", "sql": "SELECT 1"}\n')
    with pytest.raises(OptionError, match="not the file of a run"):
        read_record(path)
