"""Guesses: where they are found, and that they change how often the model runs, never a token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlcoder_magic.models import decode, graph, open_model
from sqlcoder_magic.models.catalog import WEIGHTS
from sqlcoder_magic.models.constrain import Constraint, Grammar, Guide
from sqlcoder_magic.models.decode import PrefixCache, greedy, guesses_at_once
from sqlcoder_magic.models.graph import StaticDecoder
from sqlcoder_magic.models.local import LocalModel
from sqlcoder_magic.models.lookup import PACES, PHRASES, Lookup, Pace
from sqlcoder_magic.types import Column, Prompt, PromptPart, Schema, Table

ARCHITECTURES = ("gpt_bigcode", "llama", "mistral")
Make = Callable[[str], Path]
IDS = [*range(100, 120), *range(100, 110)]
COUNT = 24


class Scripted(Lookup):
    """Guesses what it is told, behind any text: `answer` with every n-th token wrong."""

    def __init__(self, answer: Sequence[int], wrong: int, width: int = 4) -> None:
        super().__init__(width)
        self.answer = [
            token + 1 if wrong and place % wrong == wrong - 1 else token
            for place, token in enumerate(answer)
        ]
        self.written = 0

    def begin(self, prompt: Sequence[int]) -> None:
        self.written = 0

    def add(self, token: int) -> None:
        self.written += 1

    def guesses(self, most: int) -> list[int]:
        return self.answer[self.written : self.written + min(most, 4)]


def network_of(directory: Path) -> Any:
    model = open_model(str(directory), quantization="fp32")
    assert isinstance(model, LocalModel)
    return model._network


def plain(network: Any, ids: list[int], count: int = COUNT) -> list[int]:
    return [token for token, _ in greedy(network, ids, PrefixCache(), count, Lookup(0))]


def widths_of_runs(network: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens that each run of the model from now on is given; a list that grows."""
    runs: list[int] = []
    real = network.forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        runs.append(kwargs["input_ids"].shape[1])
        return real(*args, **kwargs)

    monkeypatch.setattr(network, "forward", counted)
    return runs


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("wrong", [0, 1, 2, 3, 5])
def test_no_guess_changes_a_token(checkpoint: Make, architecture: str, wrong: int) -> None:
    network = network_of(checkpoint(architecture))
    expected = list(greedy(network, IDS, PrefixCache(), COUNT, Lookup(0)))
    answer = [token for token, _ in expected]
    prefix, lookup = PrefixCache(), Scripted(answer, wrong)
    found = list(greedy(network, IDS, prefix, COUNT, lookup))
    assert [token for token, _ in found] == answer
    assert [p for _, p in found] == pytest.approx([p for _, p in expected], abs=1e-3)
    # What is kept is what was written, without the guesses: it serves the next question.
    assert prefix.ids == [*IDS, *answer][: len(prefix.ids)]
    assert prefix.cache.get_seq_length() == len(prefix.ids)
    longer = [*IDS, *answer[:5], 7, 8]
    again = [token for token, _ in greedy(network, longer, prefix, 8, Scripted([], 0))]
    assert again == plain(network, longer, 8)


@pytest.mark.parametrize("left_after", range(1, 9))
def test_a_stream_left_among_guesses_keeps_no_guess(checkpoint: Make, left_after: int) -> None:
    network = network_of(checkpoint("llama"))
    answer = plain(network, IDS)
    for wrong in (0, 3):
        prefix = PrefixCache()
        stream = greedy(network, IDS, prefix, COUNT, Scripted(answer, wrong))
        assert [token for token, _ in islice(stream, left_after)] == answer[:left_after]
        stream.close()
        assert prefix.ids == [*IDS, *answer][: len(prefix.ids)]
        assert prefix.cache.get_seq_length() == len(prefix.ids)
        found = [token for token, _ in greedy(network, [*IDS, 9], prefix, 8, Lookup(3))]
        assert found == plain(network, [*IDS, 9], 8)


def test_right_guesses_spare_runs_of_the_model(
    checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of(checkpoint("llama"))
    answer = plain(network, IDS)
    runs = widths_of_runs(network, monkeypatch)
    assert [t for t, _ in greedy(network, IDS, PrefixCache(), COUNT, Scripted(answer, 0))] == answer
    assert runs == [len(IDS), 5, 5, 5, 5, 3]  # a token behind the prompt, and 23 behind it
    runs.clear()
    assert [t for t, _ in greedy(network, IDS, PrefixCache(), COUNT, Scripted(answer, 1))] == answer
    assert len(runs) == COUNT  # none was right: as many runs as without


@pytest.mark.parametrize("wrong", [0, 3])
@pytest.mark.parametrize("static", [False, True])
def test_a_close_call_is_run_alone(
    checkpoint: Make, monkeypatch: pytest.MonkeyPatch, wrong: int, static: bool
) -> None:
    network = network_of(checkpoint("llama"))
    answer = plain(network, IDS)
    runs = widths_of_runs(network, monkeypatch)
    for module in (decode, graph):
        monkeypatch.setattr(module, "close_call", lambda _: float("inf"))  # every one is
    prefix, lookup = PrefixCache(), Scripted(answer, wrong)
    stream = (
        StaticDecoder(network, 4).greedy(IDS, COUNT, lookup)
        if static
        else greedy(network, IDS, prefix, COUNT, lookup)
    )
    assert [token for token, _ in stream] == answer
    assert len(runs) == 1 + 23 + len([width for width in runs[1:] if width > 1])
    if not static:
        assert prefix.cache.get_seq_length() == len(prefix.ids)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_in_16_bits_guesses_change_no_token_either(checkpoint: Make, architecture: str) -> None:
    model = open_model(str(checkpoint(architecture)), quantization="bf16")
    assert isinstance(model, LocalModel)
    network = model._network
    answer = plain(network, IDS)
    for wrong in (0, 2):
        stream = greedy(network, IDS, PrefixCache(), COUNT, Scripted(answer, wrong))
        assert [token for token, _ in stream] == answer


def test_of_equal_scores_the_one_that_generate_takes(checkpoint: Make) -> None:
    """In 16 bits scores are often equal, and `topk` names another of them than `argmax`."""
    import torch
    from transformers import GenerationConfig

    model = open_model(str(checkpoint("llama")), quantization="bf16")
    assert isinstance(model, LocalModel)
    network, rng, ties = model._network, Random(0), 0
    config = GenerationConfig(do_sample=False, max_new_tokens=16, eos_token_id=[-1], pad_token_id=0)
    for _ in range(15):
        ids = [rng.randrange(49_152) for _ in range(12)]
        asked = torch.tensor([ids])
        with torch.inference_mode():
            whole = network.generate(
                asked, attention_mask=torch.ones_like(asked), generation_config=config
            )[0].tolist()
            scores = network(input_ids=torch.tensor([whole])).logits[0]
        assert plain(network, ids, 16) == whole[12:]
        highest = scores.topk(2).values
        ties += int((highest[:, 0] == highest[:, 1]).sum())
        best = decode._place(scores[-1].float()), graph._places(graph._best(scores), scores)[-1]
        assert best[0].token == best[1].token == int(scores[-1].argmax())
    assert ties > 3


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_guesses_under_a_constraint_change_no_token(
    checkpoint: Make, monkeypatch: pytest.MonkeyPatch, architecture: str, static: bool
) -> None:
    network = network_of(checkpoint(architecture))
    runs = widths_of_runs(network, monkeypatch)
    grammar = Grammar((WEIGHTS / "tokenizer.json").read_text("utf-8"), [2], 49_152)
    columns = (Column("zone_of_origin", "TEXT", True), Column("kwh_used", "INT", True))
    constraint = Constraint.of(Schema("sqlite", (Table("power", "", columns, (), ()),)), str)

    def write(lookup: Lookup) -> list[tuple[int, float]]:
        guide = Guide(grammar, constraint)
        for token in grammar.tokens.tokenize_str("SELECT p.kwh_used FROM power AS p WHERE p."):
            guide.accept(token)  # a column comes next
        if static:
            return list(StaticDecoder(network, 4).greedy(IDS, COUNT, lookup, guide))
        return list(greedy(network, IDS, PrefixCache(), COUNT, lookup, guide))

    expected = write(Lookup(0))
    answer = [token for token, _ in expected]
    filled = sum(logprob == 0.0 for _, logprob in expected)
    assert answer != plain(network, IDS) and filled  # the constraint has its say
    assert len(runs[:-COUNT]) == len(answer) - filled
    for wrong in (0, 2, 3, 5):
        runs.clear()
        found = write(Scripted(answer, wrong))
        assert [token for token, _ in found] == answer
        assert [p for _, p in found] == pytest.approx([p for _, p in expected], abs=1e-3)
        assert len(runs) < COUNT - filled  # each right guess spares one


def test_a_model_learns_from_its_answers(checkpoint: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_model(str(checkpoint("llama")), quantization="fp32")
    assert isinstance(model, LocalModel)
    model._lookup = Lookup(3)  # as many each time, whatever they cost here
    text = "CREATE TABLE sales (id INT);\n-- Question: how many?\n"
    prompt = Prompt(text, (), 0, (PromptPart(text),))
    runs = widths_of_runs(model._network, monkeypatch)
    first = model.generate(prompt, max_new_tokens=30, timeout_s=60)
    needed = len(runs)
    again = model.generate(prompt, max_new_tokens=30, timeout_s=60)
    assert again.text == first.text
    assert len(runs) - needed < needed  # what it wrote before is what it guesses now


def test_the_longest_and_latest_place_decides() -> None:
    lookup = Lookup(3, phrases=[1, 2, 3, 4, 5])
    lookup.begin([9, 3, 7, 8, 6, 2, 3])
    assert lookup.guesses(10) == [4, 5, 9]  # behind `2 3`, not behind the later `3`
    assert lookup.guesses(1) == [4]
    lookup.add(7)
    assert lookup.guesses(10) == [8, 6, 2]  # behind `3 7`
    lookup.add(50)
    assert lookup.guesses(10) == []
    lookup.remember([50, 60])
    lookup.begin([70, 50])
    assert lookup.guesses(10) == [60, 70, 50]
    assert Lookup(0, [1, 1]).guesses(5) == []
    fast = Pace()
    for count in (0, 0, 3, 3, 5, 5):
        fast.ran(count, count, count, 1.0)  # a guess costs nothing: as many as may be
    assert fast.most() == 5
    narrow = Lookup(2, [7, 1, 2, 3, 4, 5], fast)
    narrow.begin([7])
    assert narrow.guesses(5) == [1, 2]


@given(
    st.lists(st.integers(0, 3), max_size=60),
    st.lists(st.integers(0, 3), max_size=9),
    st.integers(0, 6),
    st.integers(0, 9),
)
def test_guesses_are_found_as_a_search_finds_them(
    prompt: list[int], phrases: list[int], width: int, most: int
) -> None:
    lookup = Lookup(width, phrases)
    lookup.begin(prompt)
    text = [*phrases, *prompt]
    expected: list[int] = []
    for length in range(min(3, len(text)), 0, -1):
        places = [
            end for end in range(length, len(text)) if text[end - length : end] == text[-length:]
        ]
        if places:
            expected = text[places[-1] :][: min(most, width)]
            break
    assert lookup.guesses(most) == expected


COSTS = {  # of runs with 0, 3 and 5 guesses
    "each token costs as much": (1, 4, 6),
    "an fp32 that was measured": (1.0, 1.5, 1.7),
    "a bf16 that was measured": (1.0, 0.88, 0.96),
    "guesses cost nothing": (1, 1, 1),
}


def paced(pace: Pace, runs: int, cost: dict[int, float], chance: float, rng: Random) -> list[int]:
    """The counts that were chosen in so many runs, where a guess comes true by this chance."""
    chosen = []
    for _ in range(runs):
        count = pace.most()
        right = next((n for n in range(count) if rng.random() > chance), count)
        pace.ran(count, min(right + 1, count), right, cost[count] * rng.uniform(1, 1.01))
        chosen.append(count)
    return chosen


@pytest.mark.parametrize("what", COSTS)
@pytest.mark.parametrize("chance", [0.1, 0.4, 0.6, 0.8, 0.95])
def test_as_many_guesses_as_pay(what: str, chance: float) -> None:
    cost = dict(zip(PACES, COSTS[what], strict=True))
    gain = {count: sum(chance**n for n in range(count + 1)) for count in PACES}
    best = max(gain[count] / cost[count] for count in PACES)
    for seed in range(10):
        rng, pace = Random(seed), Pace()
        assert paced(pace, 6, cost, chance, rng) == [0, 0, 3, 3, 5, 5]
        chosen = paced(pace, 500, cost, chance, rng)
        pays = sum(gain[count] for count in chosen) / sum(cost[count] for count in chosen)
        assert pays > 0.8 * best, (seed, [chosen.count(count) for count in PACES])


@pytest.mark.parametrize("seed", range(5))
def test_no_pace_is_for_ever(seed: int) -> None:
    """Few guesses come true, then many; or the processor is busy while they are tried."""
    cost, rng = dict(zip(PACES, (1.0, 1.5, 1.7), strict=True)), Random(seed)
    pace = Pace()
    assert paced(pace, 300, cost, 0.1, rng)[-100:].count(0) > 90
    assert paced(pace, 600, cost, 0.95, rng)[-100:].count(5) > 90
    pace = Pace()
    paced(pace, 6, {0: 1.0, 3: 20.0, 5: 20.0}, 0.9, rng)
    assert paced(pace, 300, cost, 0.95, rng)[-100:].count(5) > 90


def test_a_pace_that_was_once_quick_is_not_believed_for_ever() -> None:
    pace = Pace()
    for count in (0, 0, 3, 3, 5, 5):
        pace.ran(count, count, count, 0.1 if count else 1.0)
    assert pace.most() == 5
    for _ in range(1000):  # something else uses the memory now: guesses became dear
        count = pace.most()
        pace.ran(count, count, count, 10.0 if count else 1.0)
    assert sorted(pace.most() for _ in range(3))[0] == 0


def test_what_a_run_takes_is_heard_where_it_had_one_new_token(checkpoint: Make) -> None:
    network = network_of(checkpoint("llama"))
    answer = plain(network, IDS)
    heard: list[tuple[int, int]] = []

    class Spy(Scripted):
        def ran(self, guesses: int, asked: int, right: int, seconds: float) -> None:
            assert seconds > 0 and asked == min(guesses, right + 1)
            heard.append((guesses, right))

    list(greedy(network, IDS, PrefixCache(), COUNT, Spy(answer, 3)))
    # Not of the run over the prompt. Every third guess is wrong; a run adds one to the right ones.
    assert heard == [(4, 1), *[(4, 2)] * 6, (2, 2)]
    assert sum(right + 1 for _, right in heard) == COUNT - 1


def test_phrases_are_sql_of_the_kind_that_is_written() -> None:
    import sqlglot

    assert len(sqlglot.parse(PHRASES, read="postgres")) == 7


def test_a_4bit_model_is_given_no_guesses(checkpoint: Make) -> None:
    directory = str(checkpoint("llama"))
    for quantization, width in (("4bit", 0), ("fp32", 5), ("bf16", 5)):
        model = open_model(directory, quantization=quantization)
        assert isinstance(model, LocalModel)
        assert guesses_at_once(model._network) == width
