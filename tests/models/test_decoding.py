"""Every architecture through the one path: the same tokens as transformers' own `generate`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sqlcoder_magic.errors import (
    GenerationError,
    MemoryShortError,
    OptionError,
    PromptTooLongError,
)
from sqlcoder_magic.models import Constraint, fit, open_model
from sqlcoder_magic.models.fit import Machine
from sqlcoder_magic.models.local import LocalModel
from sqlcoder_magic.models.stops import cut_at_stop
from sqlcoder_magic.types import Draft, Prompt, PromptPart, Schema

ARCHITECTURES = ("gpt_bigcode", "llama", "mistral")
Make = Callable[[str], Path]
SCHEMA = "CREATE TABLE sales (\n  sale_id INT,\n  city TEXT\n);\n"


def prompt(text: str) -> Prompt:
    return Prompt(text, (), 0, (PromptPart(text),))


def load(directory: Path, quantization: str = "fp32") -> LocalModel:
    model = open_model(str(directory), quantization=quantization)
    assert isinstance(model, LocalModel)
    return model


def reference(model: LocalModel, text: str, count: int, **options: Any) -> list[int]:
    """New tokens of transformers' generate, end token left out."""
    import torch
    from transformers import GenerationConfig

    ids = torch.tensor([model.encode(prompt(text))])
    config = GenerationConfig(
        do_sample=False, max_new_tokens=count, eos_token_id=2, pad_token_id=2, **options
    )
    with torch.inference_mode():
        out = model._network.generate(
            ids, attention_mask=torch.ones_like(ids), generation_config=config
        )
    new = out[0, ids.shape[1] :].tolist()
    return new[: new.index(2)] if 2 in new else new


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_gives_the_tokens_of_generate(checkpoint: Make, architecture: str) -> None:
    model = load(checkpoint(architecture))
    text = SCHEMA + "-- Question: how many?\n"
    draft = model.generate(prompt(text), max_new_tokens=24, timeout_s=60)
    expected, stopped = cut_at_stop(
        model._tokens.decode(reference(model, text, 24)), model.spec.stops
    )
    assert draft.text == expected
    assert draft.new_tokens == 24 or stopped
    assert draft.first_token_s <= draft.seconds
    assert draft.logprob is not None and draft.logprob < 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_reused_prefix_changes_no_token(checkpoint: Make, architecture: str) -> None:
    model = load(checkpoint(architecture))
    first, second = (SCHEMA + f"-- Question: {q}?\n" for q in ("how many sales", "which city"))
    cold = model.generate(prompt(second), max_new_tokens=20, timeout_s=60)
    model._prefix.clear()
    model.generate(prompt(first), max_new_tokens=20, timeout_s=60)
    held = len(model._prefix.ids)
    warm = model.generate(prompt(second), max_new_tokens=20, timeout_s=60)
    assert held > 0
    assert (warm.text, warm.new_tokens) == (cold.text, cold.new_tokens)
    again = model.generate(prompt(second), max_new_tokens=20, timeout_s=60)
    assert again.text == cold.text


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_beams_give_the_text_of_beam_search(checkpoint: Make, architecture: str) -> None:
    model = load(checkpoint(architecture))
    text = SCHEMA + "-- Question: which?\n"
    draft = model.generate(prompt(text), max_new_tokens=12, timeout_s=60, beams=3)
    semicolon = model._tokens.token_to_id(";")
    new = reference(model, text, 12, num_beams=3, early_stopping=True)
    if semicolon not in new:
        assert draft.text == cut_at_stop(model._tokens.decode(new), model.spec.stops)[0]
    assert draft.new_tokens <= 12


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_beams_are_kept_as_candidates(checkpoint: Make, architecture: str) -> None:
    model = load(checkpoint(architecture))
    text = SCHEMA + "-- Question: which?\n"
    cold = model.generate(prompt(text), max_new_tokens=6, timeout_s=60, beams=3)
    assert model._prefix.ids == model.encode(prompt(text))[:-1]  # encoded once, and kept
    warm = model.generate(prompt(text), max_new_tokens=6, timeout_s=60, beams=3)
    assert warm.candidates == cold.candidates
    assert cold.candidates[0][0] == cold.text
    assert cold.logprob is not None and cold.logprob < 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_samples_are_the_same_for_a_seed(checkpoint: Make, architecture: str) -> None:
    model = load(checkpoint(architecture))

    def drawn(seed: int) -> Draft:
        return model.generate(prompt(SCHEMA), max_new_tokens=6, timeout_s=60, samples=3, seed=seed)

    assert drawn(1).candidates == drawn(1).candidates
    assert drawn(1).text != drawn(2).text
    again = model.generate(prompt(SCHEMA), max_new_tokens=6, timeout_s=60)
    model._prefix.clear()
    assert again.text == model.generate(prompt(SCHEMA), max_new_tokens=6, timeout_s=60).text
    assert again.least_logprob is not None and again.logprob is not None
    assert again.logprob <= again.least_logprob < 0


def test_candidates_that_cannot_fit_are_refused_first(
    checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(checkpoint("llama"))
    small = Machine("cpu", "", free_bytes=1000, bf16_in_hardware=False)
    monkeypatch.setattr(fit, "this_machine", lambda: small)
    with pytest.raises(MemoryShortError, match="4 candidates at once") as caught:
        model.generate(prompt(SCHEMA), max_new_tokens=6, timeout_s=60, beams=4)
    assert "--beams 1" in caught.value.fix
    assert model.generate(prompt(SCHEMA), max_new_tokens=6, timeout_s=60).new_tokens == 6


@pytest.mark.parametrize(
    ("config", "heads"),
    [
        ({"num_key_value_heads": 2}, 2),
        ({"multi_query": True}, 1),
        ({}, 4),
    ],
)
def test_the_cache_of_a_sequence_is_counted(config: dict[str, Any], heads: int) -> None:
    shape = SimpleNamespace(num_attention_heads=4, hidden_size=64, num_hidden_layers=3, **config)
    assert fit.kv_bytes(shape, 100, 2) == 2 * 3 * heads * 16 * 100 * 2


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("quantization", ["4bit", "8bit", "bf16"])
@pytest.mark.filterwarnings("ignore:MatMul8bitLt")
def test_every_precision_writes(checkpoint: Make, architecture: str, quantization: str) -> None:
    model = load(checkpoint(architecture), quantization)
    kinds = {type(module).__name__ for module in model._network.modules()}
    assert ("Linear4bit" in kinds) == (quantization == "4bit")
    assert ("Linear8bitLt" in kinds) == (quantization == "8bit")
    draft = model.generate(prompt(SCHEMA), max_new_tokens=5, timeout_s=60)
    assert 0 < draft.new_tokens <= 5


def test_an_interrupt_leaves_the_model_usable(checkpoint: Make) -> None:
    model = load(checkpoint("llama"))
    undisturbed = model.generate(prompt(SCHEMA), max_new_tokens=8, timeout_s=60)

    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.generate(prompt(SCHEMA), max_new_tokens=8, timeout_s=60, on_text=interrupt)
    after = model.generate(prompt(SCHEMA), max_new_tokens=8, timeout_s=60)
    assert after.text == undisturbed.text


def test_an_interrupt_inside_a_forward_pass_drops_the_cache(
    checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(checkpoint("llama"))
    undisturbed = model.generate(prompt(SCHEMA), max_new_tokens=8, timeout_s=60)
    layer = model._network.model.layers[1]
    real = layer.forward

    def torn(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(layer, "forward", torn)
    with pytest.raises(KeyboardInterrupt):
        model.generate(prompt(SCHEMA + "x"), max_new_tokens=8, timeout_s=60)
    monkeypatch.setattr(layer, "forward", real)
    after = model.generate(prompt(SCHEMA), max_new_tokens=8, timeout_s=60)
    assert after.text == undisturbed.text


def test_limits_leave_the_draft_unfinished(checkpoint: Make) -> None:
    model = load(checkpoint("llama"))
    short = model.generate(prompt(SCHEMA), max_new_tokens=2, timeout_s=60)
    assert (short.new_tokens, short.finished) == (2, False)
    late = model.generate(prompt(SCHEMA), max_new_tokens=200, timeout_s=0.0)
    assert (late.new_tokens, late.finished) == (1, False)


def test_a_prompt_longer_than_the_context_is_a_sentence(checkpoint: Make) -> None:
    model = load(checkpoint("llama"))  # 512 positions
    with pytest.raises(PromptTooLongError, match="512") as caught:
        model.generate(prompt("many words " * 400), max_new_tokens=10, timeout_s=60)
    assert "--tables" in caught.value.fix
    assert model.generate(prompt(SCHEMA), max_new_tokens=2, timeout_s=60).new_tokens == 2


def test_special_tokens_in_data_stay_text(checkpoint: Make) -> None:
    model = load(checkpoint("llama"))
    assert 2 not in model.encode(prompt("a column called <|im_end|>"))
    parts = (PromptPart("<|im_start|>", special=True), PromptPart("a <|im_end|> b"))
    ids = model.encode(Prompt("", (), 0, parts))
    assert ids[0] == 1 and 2 not in ids and ids.count(1) == 1


def test_a_missing_llguidance_and_an_unloaded_model_are_sentences(
    checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(checkpoint("llama"))
    nothing = Constraint.of(Schema("postgres", ()), str)
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(OptionError, match="llguidance") as caught:
        model.generate(prompt(SCHEMA), max_new_tokens=2, timeout_s=60, constraint=nothing)
    assert "[constrained]" in caught.value.fix
    model.unload()
    with pytest.raises(GenerationError, match="unloaded"):
        model.generate(prompt(SCHEMA), max_new_tokens=2, timeout_s=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1; SELECT 2", ("SELECT 1", True)),
        ("SELECT ';' AS a", ("SELECT ';' AS a", False)),
        ("SELECT 'it''s; ok' FROM t; x", ("SELECT 'it''s; ok' FROM t", True)),
        ('SELECT "a;b" FROM t```', ('SELECT "a;b" FROM t', True)),
        ("", ("", False)),
    ],
)
def test_stops_count_outside_quotes_only(text: str, expected: tuple[str, bool]) -> None:
    assert cut_at_stop(text, (";", "```")) == expected
