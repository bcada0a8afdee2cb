"""`python -m sqlcoder_magic.evals` as a person types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from sqlcoder_magic.evals.__main__ import main
from sqlcoder_magic.models import FakeModel
from sqlcoder_magic.sample import QUESTIONS

CLINIC = [question for question in QUESTIONS if question.db == "clinic"]


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """The clinic's gold, each second one replaced by a wrong answer."""
    path = tmp_path / "predictions.jsonl"
    sql = [q.sql[0] if i % 2 == 0 else "SELECT 1" for i, q in enumerate(CLINIC)]
    rows = (json.dumps({"id": q.id, "sql": s}) for q, s in zip(CLINIC, sql, strict=True))
    path.write_text("\n".join(rows) + "\n")
    return path


def all_line(text: str) -> list[str]:
    return next(line for line in text.splitlines() if line.startswith("| **all**")).split(" | ")


def test_given_predictions(predictions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--suite", "clinic", "--predictions", str(predictions)]) == 0
    out, err = capsys.readouterr()
    assert all_line(out)[1] == str(len(CLINIC))
    assert all_line(out)[2].startswith("50.0 %")
    assert all_line(out)[3].startswith("50.0 %")
    assert "predictions.jsonl" in out
    assert "clinic-group_by-1: right" in err
    assert "clinic-group_by-2: wrong" in err


def test_the_command_in_a_process_of_its_own(predictions: Path) -> None:
    command = [sys.executable, "-m", "sqlcoder_magic.evals", "run", "--suite", "clinic"]
    command += ["--predictions", str(predictions), "--limit", "2", "--no-check"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all_line(result.stdout)[1] == "2"
    assert "Guard: off." in result.stdout


def test_a_model_and_a_file_to_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run.jsonl"
    command = ["--suite", "clinic", "--limit", "3", "--out", str(out)]
    first = FakeModel(["SELECT 1", KeyboardInterrupt()])
    monkeypatch.setattr("sqlcoder_magic.models.open_model", lambda *_, **__: first)
    assert main(command) == 130
    assert "goes on" in capsys.readouterr().err
    with out.open("a") as file:
        file.write('{"id": "cut o')
    second = FakeModel(["SELECT 2", "I do not know"])
    monkeypatch.setattr("sqlcoder_magic.models.open_model", lambda *_, **__: second)
    assert main(command) == 0
    assert len(second.prompts) == 2
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["draft"] for line in lines[1:]] == ["SELECT 1", "SELECT 2", "I do not know"]
    assert lines[0]["model"] == "fake (none on cpu)"
    capsys.readouterr()
    assert main(command) == 0, "everything is done: the model is asked nothing"
    assert len(second.prompts) == 2
    assert all_line(capsys.readouterr().out)[1] == "3"
    again = ["--suite", "clinic", "--limit", "3", "--predictions", str(out)]
    assert main(again) == 0, "the file of a run is a file of predictions"


def test_the_file_of_another_run_is_refused(
    predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--suite", "clinic", "--predictions", str(predictions)]
    out = tmp_path / "run.jsonl"
    assert main([*command, "--limit", "2", "--out", str(out)]) == 0
    before = out.read_text()
    assert main([*command, "--limit", "3", "--out", str(out)]) == 1
    assert "another run (questions 2, not 3)" in capsys.readouterr().err
    assert out.read_text() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--suite", "nothing"], "no suite and no file"),
        (["compare"], "arguments are required: first, second"),
        (["compare", "/no/such/file", "/no/other"], "cannot be read"),
        (["report"], "arguments are required: file"),
        (["ablation", "/no/such/directory"], "holds no run"),
        (["--engine", "mysql://x"], "sqlite or a PostgreSQL URL"),
        (["--workers", "0"], "Argument --workers"),
        (["--limit", "0"], "Argument --limit"),
        (["--limit", "x"], "Argument --limit"),
        (["--bogus"], "--bogus"),
        (["--predictions", "/no/such/file"], "cannot be read"),
        (["--quantization", "3bit"], "--quantization"),
    ],
)
def test_a_wrong_line_is_a_sentence(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no predictions"),
        ("not json\n{}\n", "line 1, is not JSON"),
        ('{"id": "clinic-where-1"}\n', "holds no predictions"),
    ],
)
def test_predictions_that_are_none(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(content)
    assert main(["--predictions", str(path)]) == 1
    assert message in capsys.readouterr().err


def test_an_out_file_that_cannot_be_written(
    predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--suite", "clinic", "--predictions", str(predictions)]
    assert main([*command, "--out", str(tmp_path / "no" / "such" / "file")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_workers_score_the_same(predictions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--suite", "clinic", "--predictions", str(predictions)]
    assert main(command) == 0
    alone = capsys.readouterr().out
    assert main([*command, "--workers", "2"]) == 0
    assert capsys.readouterr().out == alone


def test_on_postgresql(
    predictions: Path, postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same figures there: loaded, run, scored, and nothing left behind."""
    out = tmp_path / "run.jsonl"
    command = ["--suite", "clinic", "--predictions", str(predictions), "--out", str(out)]
    assert main([*command, "--engine", postgres_url]) == 0
    text = capsys.readouterr().out
    assert all_line(text)[2].startswith("50.0 %")
    assert "Engine: postgres." in text
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        spaces = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'sqlcoder%'"
        ).fetchall()
        roles = connection.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'sqlcoder%'"
        ).fetchall()
    assert (spaces, roles) == ([], [])
    assert main(command) == 1, "a run on SQLite is another run"
    assert "engine 'postgres', not 'sqlite'" in capsys.readouterr().err


def test_a_postgresql_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    url = "postgresql://anna:geheim@127.0.0.1:1/none"
    assert main(["--suite", "clinic", "--engine", url, "--limit", "1"]) == 1
    err = capsys.readouterr().err
    assert "cannot be loaded into PostgreSQL" in err
    assert "geheim" not in err


def test_compare_report_and_page(
    predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = tmp_path / "worse.jsonl"
    worse.write_text("".join(f'{{"id": "{q.id}", "sql": "SELECT 1"}}\n' for q in CLINIC))
    runs = {}
    for path in (worse, predictions):
        runs[path] = tmp_path / f"run-{path.stem}.jsonl"
        out = ["--out", str(runs[path])]
        assert main(["run", "--suite", "clinic", "--predictions", str(path), *out]) == 0
    capsys.readouterr()
    assert main(["compare", str(runs[worse]), str(runs[predictions])]) == 0
    text = capsys.readouterr().out
    assert "## Won (defog): 15" in text and "## Lost (defog): 0" in text
    assert "- clinic-group_by-1 (ran): " in text
    page = tmp_path / "report.html"
    assert main(["report", str(runs[predictions]), "--html", str(page)]) == 0
    assert all_line(capsys.readouterr().out)[2].startswith("50.0 %")
    assert "<td>50.0 % (" in page.read_text("utf-8")


def test_runs_of_different_suites_do_not_compare(
    predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suite in ("clinic", "sample"):
        out = str(tmp_path / suite)
        words = ["--suite", suite, "--predictions", str(predictions), "--limit", "1"]
        assert main([*words, "--out", out]) == 0
    assert main(["compare", str(tmp_path / "clinic"), str(tmp_path / "sample")]) == 1
    assert "One run is of clinic, the other of sample." in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "compare", "report", "ablation"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"usage: python -m sqlcoder_magic.evals {command}" in capsys.readouterr().out


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "--predictions" in capsys.readouterr().out
