"""Files from a shell: `python -m sqlcoder_magic -c 'data/*.csv' -q …`."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqlcoder_magic import FakeModel, use_model
from sqlcoder_magic.__main__ import main
from sqlcoder_magic.models import unload_model


def test_files_are_asked_from_a_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "visits.csv").write_text("page,hits\nhome,5\nshop,7\n")
    use_model(FakeModel(["SELECT SUM(hits) AS hits FROM visits"]))
    try:
        status = main(["-c", f"{tmp_path}/*.csv", "-q", "How many hits are there?", "--run"])
    finally:
        unload_model()
    out = capsys.readouterr().out
    assert status == 0
    assert "12" in out and "1 row × 1 column" in out


def test_frames_need_a_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--frames", "orders", "-q", "How many?"]) == 2
    assert "-c 'data/*.csv'" in capsys.readouterr().err
