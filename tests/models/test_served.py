"""Against a real server, over loopback: `transformers serve`.

A small random checkpoint with the bundled model's architecture and tokenizer is held to what this
process writes with the same weights, token for token. The bundled model itself answers a question
there as it does here (slow).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from sqlcoder_magic.errors import GenerationError, ModelNotFoundError, OptionError
from sqlcoder_magic.models import Constraint, export_model, open_model, unload_model
from sqlcoder_magic.models.server import ServerModel
from sqlcoder_magic.pipeline import ask
from sqlcoder_magic.schema import read_schema
from sqlcoder_magic.types import Prompt, PromptPart

PROMPT = Prompt("CREATE TABLE singer (\n  name TEXT\n);\n-- How many singers?\n", (), 0, ())


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def serving(directory: Path, home: Path) -> Iterator[str]:
    """The address of a server of this directory's model; `home` is for its cache and log."""
    (home / "hub").mkdir()  # it lists this directory, and fails where there is none
    port = _free_port()
    words = ["transformers.cli.transformers", "serve", str(directory)]
    where = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
    }
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *words, *where], env=environment, stdout=log, stderr=log
        )
        try:
            for _ in range(240):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert server.poll() is None, (home / "log").read_text()
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture(scope="module")
def served(
    checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """(the server's address, the model's name there)."""
    directory = checkpoint("llama")
    with serving(directory, tmp_path_factory.mktemp("hub")) as url:
        yield url, str(directory)


def test_the_server_writes_what_this_process_writes(served: tuple[str, str]) -> None:
    url, name = served
    local = open_model(name, quantization="fp32")
    mine = local.generate(PROMPT, max_new_tokens=24, timeout_s=60)
    unload_model()

    model = open_model(url, served_name=name)
    assert isinstance(model, ServerModel)
    heard: list[str] = []
    theirs = model.generate(PROMPT, max_new_tokens=24, timeout_s=60, on_text=heard.append)
    assert theirs.text == mine.text and len(mine.text) > 20
    assert (theirs.finished, mine.finished) == (False, False)  # random weights know no end
    assert len(heard) > 10 and heard[-1] == theirs.text  # it came in pieces
    assert all(later.startswith(earlier) for earlier, later in pairwise(heard))
    assert 0 < theirs.first_token_s <= theirs.seconds


def test_an_interrupt_leaves_the_server_well(served: tuple[str, str]) -> None:
    url, name = served
    model = ServerModel(url, name)

    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.generate(PROMPT, max_new_tokens=200, timeout_s=60, on_text=interrupt)
    assert model.generate(PROMPT, max_new_tokens=4, timeout_s=60).new_tokens > 0
    model.unload()


def test_what_this_server_lacks_is_a_sentence(served: tuple[str, str]) -> None:
    """It lists no model of a directory, and knows no `add_special_tokens`."""
    url, name = served
    with pytest.raises(ModelNotFoundError, match="serves none") as caught:
        ServerModel(url)
    assert "--name" in caught.value.fix
    model = ServerModel(url, name)
    parts = (PromptPart("<|begin_of_text|>", special=True), PromptPart("x"))
    with pytest.raises(GenerationError, match=r"refused the request \(422\).*add_special_tokens"):
        model.generate(Prompt("<|begin_of_text|>x", (), 0, parts), max_new_tokens=4, timeout_s=60)
    model.unload()


def test_a_constraint_is_refused_before_anything_is_sent(served: tuple[str, str]) -> None:
    url, name = served
    model = ServerModel(url, name)
    held = Constraint.of(read_schema("sample"), lambda text: text)
    with pytest.raises(OptionError, match="decodes under a grammar"):
        model.generate(PROMPT, max_new_tokens=4, timeout_s=60, constraint=held)
    model.unload()


@pytest.mark.slow
def test_the_bundled_model_answers_there_as_here(tmp_path: Path) -> None:
    asked = ("How many customers live in Chicago?", "What are the names of all products?")
    here = [ask(one, "sample", open_model(None, quantization="fp32")) for one in asked]
    unload_model()
    directory = export_model(tmp_path / "sqlcoder-tiny", "fp32")
    (tmp_path / "home").mkdir()
    with serving(directory, tmp_path / "home") as url:
        model = open_model(url, served_name=str(directory))
        there = [ask(one, "sample", model) for one in asked]
        unload_model()
    for mine, theirs in zip(here, there, strict=True):
        assert theirs.draft.text == mine.draft.text and mine.sql
        assert (theirs.sql, theirs.error, mine.error) == (mine.sql, None, None)
