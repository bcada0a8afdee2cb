"""Where a draft of this process ends, and how soon it is left: greedy, constrained, beams, samples.

The network is a small random one whose scores are replaced by a script, so that what it "writes"
is known. The static step and its CUDA graph have the same tests in `test_graph`, a server in
`test_server`.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from test_constrain import SHOP, constraint

from sqlcoder_magic.models import FakeModel, loading, open_model
from sqlcoder_magic.models.local import LocalModel
from sqlcoder_magic.types import Draft, Prompt, PromptPart

Make = Callable[[str], Path]
END = 2
PROMPT = Prompt("-- x\n", (), 0, (PromptPart("-- x\n"),))
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "constrained": {"constraint": constraint(SHOP)},
    "beams": {"beams": 2},
    "samples": {"samples": 2},
}


class Script:
    """Makes a model write what it is told to; `passes` counts its forward passes."""

    def __init__(self, model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.model, self.passes = model, 0
        self.tokens: list[int] = []
        self.before: Callable[[], None] = lambda: None
        self._forward = model._network.forward
        monkeypatch.setattr(model._network, "forward", self)

    def writes(self, text: str, *more: int) -> None:
        self.tokens = [*self.model._tokens.encode(text, add_special_tokens=False).ids, *more]

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.passes += 1
        self.before()
        out = self._forward(*args, **options)
        written = out.past_key_values.get_seq_length() - len(self.model.encode(PROMPT))
        scored = out.logits.shape[1]  # several where guessed tokens are checked at once
        for at in range(scored):
            place = written - (scored - 1 - at)
            if place >= 0:
                token = self.tokens[min(place, len(self.tokens) - 1)]
                out.logits[:, at] = -1e4
                out.logits[:, at, token] = 1e4
        return out

    def ask(self, way: str, **options: Any) -> Draft:
        given = {"max_new_tokens": 40, "timeout_s": 60, **WAYS[way], **options}
        return self.model.generate(PROMPT, **given)


@pytest.fixture(scope="module")
def random_model(checkpoint: Make) -> Iterator[LocalModel]:
    model = open_model(str(checkpoint("llama")), quantization="fp32")
    assert isinstance(model, LocalModel)
    loading._slot.model = None  # every test unloads what lies there
    yield model
    model.unload()


@pytest.fixture
def script(random_model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> Script:
    random_model._forget()
    return Script(random_model, monkeypatch)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("text", "more", "expected", "finished"),
    [
        ("SELECT name FROM products; x", (), "SELECT name FROM products", True),
        ("SELECT name FROM products\n``` x", (), "SELECT name FROM products\n", True),
        ("SELECT name FROM products", (END,), "SELECT name FROM products", True),
        ("SELECT ';' FROM products", (END,), "SELECT ';' FROM products", True),
    ],
    ids=["semicolon", "fence", "end token", "quoted"],
)
def test_a_draft_ends_where_it_should(
    script: Script, way: str, text: str, more: tuple[int, ...], expected: str, finished: bool
) -> None:
    script.writes(text, *more)
    draft = script.ask(way)
    assert (draft.text, draft.finished) == (expected, finished)


@pytest.mark.parametrize("way", WAYS)
def test_the_token_limit_holds(script: Script, way: str) -> None:
    script.writes("SELECT name, price, stock FROM products")
    draft = script.ask(way, max_new_tokens=4)
    assert not draft.finished and draft.new_tokens <= 4
    assert "SELECT name, price, stock FROM products".startswith(draft.text)


@pytest.mark.parametrize("way", WAYS)
def test_the_time_limit_holds_to_a_token(script: Script, way: str) -> None:
    script.writes("SELECT " + ", ".join(["name"] * 100))
    script.ask(way, max_new_tokens=2)  # what is made once: the grammar, say
    script.passes, script.before = 0, lambda: time.sleep(0.05)
    draft = script.ask(way, max_new_tokens=150, timeout_s=0.5)
    assert not draft.finished
    assert 1 < script.passes <= 12  # 0.5 s, a pass of 0.05 s at least; and the one that is late


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", [1, 2])  # while the prompt is read, and while it writes
def test_ctrl_c_ends_it_within_a_token(script: Script, way: str, at: int) -> None:
    script.writes("SELECT name FROM products;")
    script.ask(way)

    def interrupt() -> None:
        if script.passes == at:
            signal.raise_signal(signal.SIGINT)

    script.passes, script.before = 0, interrupt
    with pytest.raises(KeyboardInterrupt):
        script.ask(way)
    assert script.passes == at
    script.before = lambda: None
    draft = script.ask(way)
    assert (draft.text, draft.finished) == ("SELECT name FROM products", True)


@pytest.mark.parametrize("way", ["greedy", "constrained"])
def test_text_comes_as_it_is_written(script: Script, way: str) -> None:
    script.writes("SELECT name, city FROM products JOIN customers ON TRUE;")
    heard: list[tuple[str, int]] = []
    draft = script.ask(way, on_text=lambda text: heard.append((text, script.passes)))
    texts = [text for text, _ in heard]
    assert texts[-1] == draft.text and len(texts) > 8
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert heard[0][1] == 1  # after the first pass, not after the last
    assert 0 < draft.first_token_s <= draft.seconds


def test_a_fake_model_is_heard_and_interrupted_too() -> None:
    model, heard = FakeModel(["SELECT 1", KeyboardInterrupt(), "SELECT 2"]), []
    options = {"max_new_tokens": 5, "timeout_s": 5}
    assert model.generate(PROMPT, on_text=heard.append, **options).text == heard[-1] == "SELECT 1"
    with pytest.raises(KeyboardInterrupt):
        model.generate(PROMPT, **options)
    assert model.generate(PROMPT, **options).text == "SELECT 2"
