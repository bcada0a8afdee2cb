"""The static cache's step, run here without a recording: the tokens of `decode.greedy`, alone and
inside `LocalModel`, which uses it on CUDA. The recording itself needs a GPU; what surrounds it (the
comparison, the way back) is run here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sqlcoder_magic.errors import MemoryShortError
from sqlcoder_magic.models import open_model
from sqlcoder_magic.models.decode import PrefixCache, greedy
from sqlcoder_magic.models.graph import StaticDecoder, Step, supported
from sqlcoder_magic.models.local import LocalModel
from sqlcoder_magic.models.lookup import Lookup
from sqlcoder_magic.types import Draft, Prompt, PromptPart

ARCHITECTURES = ("gpt_bigcode", "llama", "mistral")
Make = Callable[[str], Path]
FIRST = list(range(100, 140))
SECOND = [*FIRST[:30], *range(500, 512)]
SCHEMA = "CREATE TABLE sales (\n  sale_id INT,\n  city TEXT\n);\n"


def network_of(directory: Path) -> Any:
    model = open_model(str(directory), quantization="fp32")
    assert isinstance(model, LocalModel)
    return model._network


def tokens(stream: Iterator[tuple[int, float]]) -> list[int]:
    return [token for token, _ in stream]


@pytest.mark.parametrize("guesses", [0, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_static_cache_changes_no_token(checkpoint: Make, architecture: str, guesses: int) -> None:
    network = network_of(checkpoint(architecture))
    decoder, lookup = StaticDecoder(network, guesses), Lookup(guesses)
    for ids in (FIRST, SECOND, FIRST, FIRST[:5]):  # with reuse of a prefix, and without
        expected = list(greedy(network, ids, PrefixCache(), 20, Lookup(0)))
        found = list(decoder.greedy(ids, 20, lookup))
        assert tokens(iter(found)) == tokens(iter(expected))
        assert [p for _, p in found] == pytest.approx([p for _, p in expected], abs=1e-3)
        assert decoder._ids == [*ids, *tokens(iter(found))][: len(decoder._ids)]
        lookup.remember(tokens(iter(found)))


def test_a_stream_that_was_left_changes_no_token(checkpoint: Make) -> None:
    network = network_of(checkpoint("llama"))
    decoder, none = StaticDecoder(network), Lookup(0)
    assert len(list(islice(decoder.greedy(FIRST, 20, none), 3))) == 3
    assert tokens(decoder.greedy(SECOND, 20, none)) == tokens(
        greedy(network, SECOND, PrefixCache(), 20, Lookup(0))
    )


def test_a_longer_text_gets_a_longer_cache(checkpoint: Make) -> None:
    network = network_of(checkpoint("llama"))
    network.config.max_position_embeddings = 1024
    decoder = StaticDecoder(network)
    list(decoder.greedy(FIRST, 4, Lookup(0)))
    assert decoder._length == 512
    long = [7, 8, 9] * 180
    assert tokens(decoder.greedy(long, 4, Lookup(0))) == tokens(
        greedy(network, long, PrefixCache(), 4, Lookup(0))
    )
    assert decoder._length == 1024


def test_what_cannot_be_captured_is_known(checkpoint: Make) -> None:
    network = network_of(checkpoint("mistral"))
    assert not supported(network, "fp32")  # a CPU
    on_a_gpu = SimpleNamespace(
        device=SimpleNamespace(type="cuda"), config=network.config, _can_compile_fullgraph=True
    )
    assert supported(on_a_gpu, "4bit") and not supported(on_a_gpu, "8bit")
    on_a_gpu.hf_device_map = {"model.layers.0": 0, "model.layers.1": 1}
    assert not supported(on_a_gpu, "bf16")
    on_a_gpu.hf_device_map, on_a_gpu._can_compile_fullgraph = {"": 0}, False
    assert not supported(on_a_gpu, "bf16")
    decoder = StaticDecoder(network)
    assert decoder.fits(256) and not decoder.fits(257)  # its sliding window


def static_model(directory: Path) -> LocalModel:
    """A model that decodes here as it does on CUDA, without guesses, but for the recording."""
    model = open_model(str(directory), quantization="fp32")
    assert isinstance(model, LocalModel)
    assert model._static is None  # a CPU's cache grows
    model._static = StaticDecoder(model._network)
    return model


def ask(model: LocalModel, question: str, count: int = 20, **options: Any) -> Draft:
    text = SCHEMA + f"-- Question: {question}\n"
    prompt = Prompt(text, (), 0, (PromptPart(text),))
    return model.generate(prompt, max_new_tokens=count, timeout_s=60, **options)


def both(model: LocalModel, question: str, **options: Any) -> tuple[Draft, Draft]:
    """The draft of the static step, and that of the eager loop."""
    found = ask(model, question, **options)
    static, model._static = model._static, None
    expected = ask(model, question, **options)
    model._static = static
    return found, expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_writes_the_same_with_the_static_step(checkpoint: Make, architecture: str) -> None:
    model = static_model(checkpoint(architecture))
    for question in ("how many?", "which city?", "which city?"):
        found, expected = both(model, question)
        assert (found.text, found.new_tokens) == (expected.text, expected.new_tokens)
        assert found.logprob == pytest.approx(expected.logprob, abs=1e-2)
        assert model._static is not None and len(model._static._ids) >= found.prompt_tokens
        model._prefix.clear()


def test_the_schema_is_encoded_once_in_the_static_cache(
    checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = static_model(checkpoint("llama"))
    first = ask(model, "how many?")
    encoded: list[int] = []
    real = model._network.forward

    def counted(**options: Any) -> Any:
        encoded.append(options["input_ids"].shape[1])
        return real(**options)

    monkeypatch.setattr(model._network, "forward", counted)
    second = ask(model, "which city?")
    assert encoded[0] < first.prompt_tokens / 2  # the question and what follows it
    assert encoded[1:] == [1] * (second.new_tokens - 1)  # none behind the last token
    assert model._static is not None
    model._static = StaticDecoder(model._network, 3)  # with guesses: fewer runs, two widths
    for _ in range(2):
        encoded.clear()
        assert ask(model, "which city?").text == second.text
    assert encoded[0] == 1 and set(encoded[1:]) <= {1, 4}  # its prompt is held but for one token
    assert len(encoded) < second.new_tokens


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_stops_and_limits_hold_with_the_static_step(checkpoint: Make, architecture: str) -> None:
    model = static_model(checkpoint(architecture))
    full = ask(model, "how many?")
    token = model.encode(Prompt(full.text, (), 0, (PromptPart(full.text),)))[3]
    model._ends = frozenset({token})
    found, expected = both(model, "how many?")
    assert (found.text, found.finished) == (expected.text, expected.finished)
    prompt = Prompt(SCHEMA, (), 0, (PromptPart(SCHEMA),))
    late = model.generate(prompt, max_new_tokens=200, timeout_s=0.0)
    assert late.new_tokens <= 1
    assert ask(model, "how many?", count=2).new_tokens <= 2


def test_an_interrupt_of_the_static_step_leaves_the_model_usable(
    checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = static_model(checkpoint("llama"))
    undisturbed = ask(model, "how many?")
    shown: list[str] = []

    def interrupt(text: str) -> None:
        shown.append(text)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(model, "how many?", on_text=interrupt)
    assert len(shown) == 1
    assert ask(model, "how many?").text == undisturbed.text

    layer = model._network.model.layers[1]
    real = layer.forward

    def torn(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(layer, "forward", torn)  # between two layers of a forward pass
    with pytest.raises(KeyboardInterrupt):
        ask(model, "which city?")
    monkeypatch.setattr(layer, "forward", real)
    assert ask(model, "how many?").text == undisturbed.text


def test_beams_and_a_sliding_window_take_the_eager_way(checkpoint: Make) -> None:
    model = static_model(checkpoint("mistral"))
    assert model._static is not None
    for options in ({"beams": 3}, {"samples": 2}):
        ask(model, "how many?")
        assert model._static._ids
        found, expected = both(model, "how many?", **options)
        assert found.text == expected.text
        assert model._static._ids == []  # several candidates get the memory
    model._static.clear()
    ask(model, "how many? " * 30, count=200)  # more than its window of 256
    assert model._static._cache is None


def test_unloading_drops_the_static_cache(checkpoint: Make) -> None:
    model = static_model(checkpoint("llama"))
    ask(model, "how many?")
    decoder = model._static
    assert decoder is not None and decoder._cache is not None
    model.unload()
    assert model._static is None and decoder._cache is None


def test_a_step_that_cannot_be_recorded_is_left_with_a_note(
    checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = static_model(checkpoint("llama"))
    decoder = model._static
    assert decoder is not None
    expected = ask(model, "how many?")

    def refused(*_: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore lines")

    monkeypatch.setattr(decoder, "_recorded", refused)
    decoder._captures = True
    assert ask(model, "how many?").text == expected.text
    assert model._static is None and decoder._cache is None
    note = "CUDA graph off: operation not permitted when stream is capturing"
    assert model.spec.reason.endswith(note)  # which is what the status shows
    assert ask(model, "how many?").text == expected.text


@pytest.mark.parametrize("right", [True, False])
def test_a_recording_is_compared_with_the_step(
    checkpoint: Make, monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    model = static_model(checkpoint("gpt_bigcode"))
    decoder = model._static
    assert decoder is not None
    expected = ask(model, "how many?")
    replays: list[int] = []

    def recorded(step: Step, _: int, run: Callable[[], None]) -> Callable[[], None]:
        def replay() -> None:
            replays.append(step.width)
            run()
            if not right:
                step.scores.mul_(-1)

        return replay

    monkeypatch.setattr(decoder, "_recorded", recorded)
    decoder._captures = True
    assert ask(model, "how many?").text == expected.text
    assert (model._static is decoder) == right
    assert ("gave other scores" in model.spec.reason) != right
    assert replays == [1] * (3 + expected.new_tokens - 1 if right else 3)


def test_each_width_is_recorded_and_compared(
    checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = static_model(checkpoint("llama"))
    expected = ask(model, "how many?")
    decoder = model._static = StaticDecoder(model._network, 3)
    model._lookup = Lookup(3)
    replays: list[int] = []

    def recorded(step: Step, _: int, run: Callable[[], None]) -> Callable[[], None]:
        def replay() -> None:
            replays.append(step.width)
            run()

        return replay

    monkeypatch.setattr(decoder, "_recorded", recorded)
    decoder._captures = True
    for _ in range(2):  # the second finds the first answer
        replays.clear()
        assert ask(model, "how many?").text == expected.text
    assert all(step.replay for step in decoder._steps)
    assert replays.count(4) >= 3 and len(replays) < expected.new_tokens


def test_out_of_memory_in_the_static_step_leaves_the_model_usable(
    checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    model = static_model(checkpoint("llama"))
    expected = ask(model, "how many?")
    decoder = model._static
    assert decoder is not None

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(decoder, "_run", full)
        with pytest.raises(MemoryShortError):
            ask(model, "which city?")
    assert decoder._cache is None  # what it held is given back
    assert ask(model, "how many?").text == expected.text
