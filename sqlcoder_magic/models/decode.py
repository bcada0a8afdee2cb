"""Decoding over a KV cache that outlives the question: greedy, beams and samples.

The cache of the last prompt is kept, so that a prompt with the same beginning (the schema comes
first in the bundled model's) encodes only what is new. Greedy gives the tokens of
`generate(do_sample=False)`, beams those of transformers' beam search, which the tests hold them to.
With a `Guide` only tokens that it allows are chosen. The greedy loop is `write`, whatever runs the
model: a cache that grows (here), or one of fixed size with steps captured as CUDA graphs (`graph`).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sqlcoder_magic.models.lookup import PACES, Lookup, Pace

if TYPE_CHECKING:
    import torch

    from sqlcoder_magic.models.constrain import Guide

# A kept cache larger than this is dropped after the answer: it would crowd out the weights.
KEEP_BYTES = 512 * 2**20
# Weights below this leave the CPU waiting for threads rather than for memory.
SMALL_BYTES = 2**30


@dataclass(frozen=True)
class Limits:
    """Where an answer ends: `ends` are token ids, `deadline` is on `time.monotonic`."""

    max_new_tokens: int
    ends: tuple[int, ...]
    deadline: float


@dataclass(frozen=True)
class Written:
    """One answer: its tokens without the end token, the sum of their log-probabilities, and
    whether it came to its end.
    """

    tokens: list[int]
    logprob: float
    ended: bool


class PrefixCache:
    """The KV cache of the last prompt, and the tokens that it holds."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.cache: Any = None

    def take(self, ids: Sequence[int]) -> tuple[Any, int]:
        """(cache, number of leading tokens of `ids` that it holds). The cache leaves this object,
        so that an interrupted forward pass cannot leave half a token in it.
        """
        from transformers import DynamicCache

        cache, held = self.cache, self.ids
        self.cache, self.ids = None, []
        common = alike(held, ids[:-1])  # one token must remain to be run
        if cache is None or not common:
            return DynamicCache(), 0
        if common < len(held):
            cache.crop(common - len(held))
        return cache, common

    def keep(self, ids: list[int], cache: Any) -> None:
        """Keep the cache of `ids`, unless it is too large."""
        if _cache_bytes(cache) <= KEEP_BYTES:
            self.ids, self.cache = ids, cache

    def clear(self) -> None:
        """Forget the cache."""
        self.ids, self.cache = [], None


def alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts have in common at their beginning."""
    least, most = 0, min(len(one), len(other))
    while least < most:  # slices compare many times as fast as a loop over tokens
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least


def _cache_bytes(cache: Any) -> int:
    return sum(
        tensor.numel() * tensor.element_size()
        for layer in cache.layers
        for tensor in (layer.keys, layer.values)
    )


class Place(NamedTuple):
    """What the model says of the token behind a text: the likeliest, its log-probability, how far
    its score is above the next, and the scores [vocabulary] of all, good until the next run.
    """

    token: int
    logprob: float
    ahead: float
    scores: torch.Tensor


class Runs(Protocol):
    """How the model is run over a text that grows. What it holds of the last one is used again."""

    def behind(self, text: list[int], guesses: list[int]) -> Iterable[Place]:
        """The place behind `text`, then those behind the guesses at what follows it, or some."""

    def keep(self, text: list[int]) -> None:
        """Hold nothing but tokens of `text` for the next question."""


class _Eager:
    """Runs with a cache that grows."""

    def __init__(self, network: Any, prefix: PrefixCache) -> None:
        self._network = network
        self._prefix = prefix

    def behind(self, text: list[int], guesses: list[int]) -> Iterable[Place]:
        cache, held = self._prefix.take(text)
        scores = _forward(self._network, [text[held:] + guesses], cache, len(guesses) + 1)[0]
        self._prefix.ids, self._prefix.cache = [*text, *guesses], cache
        return map(_place, scores.float())

    def keep(self, text: list[int]) -> None:
        if self._prefix.cache is not None:
            cache, held = self._prefix.take([*text, -1])  # all of the text: nothing is run now
            self._prefix.keep(text[:held], cache)


def _place(scores: torch.Tensor) -> Place:
    first, second = scores.topk(2).values.tolist()
    token = int(scores.argmax())  # as `generate` does: of equal scores topk names another
    return Place(token, first - float(scores.logsumexp(0)), first - second, scores)


def greedy(
    network: Any,
    ids: list[int],
    prefix: PrefixCache,
    max_new_tokens: int,
    lookup: Lookup,
    guide: Guide | None = None,
) -> Generator[tuple[int, float], None, None]:
    """`write` with a cache that grows, the one that `prefix` keeps."""
    runs = _Eager(network, prefix)
    return write(runs, ids, max_new_tokens, lookup, close_call(network), guide)


def write(
    runs: Runs,
    ids: list[int],
    max_new_tokens: int,
    lookup: Lookup,
    margin: float,
    guide: Guide | None = None,
) -> Generator[tuple[int, float], None, None]:
    """Yield (token, log-probability), the most likely token each time; the caller stops it.

    `ids` is the prompt, at least one token. Behind it, each run of the model checks the guesses of
    `lookup` too; those that it would have written are yielded, the others forgotten. A place among
    guesses whose best tokens are nearer than `margin` is run again, alone. With a guide it is the
    most likely token that is allowed; what the guide forces comes without a run, with
    log-probability 0, and where it allows nothing the text ends early. Closing the iterator keeps
    the prefix for next time.
    """
    text, end = list(ids), len(ids) + max_new_tokens
    guesses: list[int] = []
    unread = len(ids)  # tokens at the end of the text that no run has had
    lookup.begin(ids)
    try:
        while len(text) < end:
            began, clear, started = len(text), True, time.perf_counter()
            asked = right = 0  # of the guesses
            places = runs.behind(text, guesses)
            seconds = time.perf_counter() - started
            for row, place in enumerate(places):
                if len(text) == end or text[began : began + row] != guesses[:row]:
                    break  # this place is behind another text
                if len(text) > began + row:
                    continue  # what comes here was forced, and guessed
                best = place if guide is None else _allowed(place, guide)
                if best is None:
                    return
                clear = not guesses or best.ahead >= margin
                if not clear:
                    break
                if row < len(guesses):
                    asked, right = asked + 1, right + (best.token == guesses[row])
                text.append(best.token)
                lookup.add(best.token)
                yield best.token, best.logprob
                for token in _forced(guide, best.token, end - len(text)):
                    text.append(token)
                    lookup.add(token)
                    yield token, 0.0
            if unread == 1 and clear:
                lookup.ran(len(guesses), asked, right, seconds)
            unread = len(text) - began - alike(text[began:], guesses)
            guesses = lookup.guesses(end - len(text) - 1) if clear else []
    finally:
        runs.keep(text)


def _allowed(place: Place, guide: Guide) -> Place | None:
    """The place with the best token that `guide` allows; None in a dead end."""
    if guide.allows(place.token):
        return place
    token = guide.best(place.scores)
    if token is None:
        return None
    logprob = place.logprob + float(place.scores[token]) - float(place.scores[place.token])
    return Place(token, logprob, 0.0, place.scores)  # how far ahead it is was not asked


def _forced(guide: Guide | None, token: int, most: int) -> list[int]:
    """What the guide forces behind a token that was chosen, at most so many tokens."""
    if guide is None:
        return []
    guide.accept(token)
    forced = guide.forced()[:most]
    for one in forced:
        guide.accept(one)
    return forced


def close_call(network: Any) -> float:
    """Scores nearer to each other than this may change places in a run over several tokens.

    Such a run sums in another order than a run over one. In 16 bits that moved scores by up to 0.4
    on a CPU, where two answers of twelve came out otherwise; then the token is run alone, which
    was one in fifty.
    """
    return 0.75 if network.dtype.itemsize == 2 else 0.0


def guesses_at_once(network: Any) -> int:
    """How many guesses a run of this model checks, at most.

    Matrices that are read from memory for one token serve the next ones too. bitsandbytes' fast
    kernel is for one token.
    """
    return 0 if getattr(network, "is_quantized", False) else max(PACES)


def lookup_for(network: Any, phrases: Sequence[int]) -> Lookup:
    """The guesses for a model. On a CPU it is measured how many pay; a GPU checks all of them at
    little more than the cost of none.
    """
    width = guesses_at_once(network)
    return Lookup(width, phrases, Pace() if width and network.device.type == "cpu" else None)


def _forward(
    network: Any, new: torch.Tensor | list[list[int]], cache: Any, keep: int = 1
) -> torch.Tensor:
    """Scores [batch, keep, vocabulary] of the tokens behind the last `keep` of `new`
    [batch, tokens]; `cache` grows.
    """
    import torch

    ids = torch.as_tensor(new, device=network.device)
    with torch.inference_mode():
        out = network(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=keep)
    scores: torch.Tensor = out.logits[:, -keep:]
    return scores


@contextmanager
def patient_threads(network: Any, weights_bytes: int) -> Iterator[None]:
    """Half of PyTorch's threads for a small model on a CPU; all of them afterwards.

    Its steps are short, and the threads of a step wait for each other spinning: where anything
    else runs on a core, all wait for that one. On two cores beside a busy browser two threads took
    ten times as long as one; on two idle cores one takes a tenth longer than two.
    """
    import torch

    threads = torch.get_num_threads()
    small = network.device.type == "cpu" and weights_bytes < SMALL_BYTES
    if small:
        torch.set_num_threads(max(1, threads // 2))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _expanded(network: Any, ids: list[int], prefix: PrefixCache, count: int) -> Any:
    """The cache of all but the prompt's last token, `count` times; encoded once, and kept."""

    cache, start = prefix.take(ids)
    if start < len(ids) - 1:
        _forward(network, [ids[start:-1]], cache)
    prefix.keep(ids[:-1], cache)
    many = copy.deepcopy(cache) if prefix.cache is cache else cache
    many.batch_repeat_interleave(count)
    return many


def beam_search(
    network: Any,
    ids: list[int],
    prefix: PrefixCache,
    limits: Limits,
    *,
    beams: int,
    guide: Guide | None = None,
) -> list[Written]:
    """The beams of transformers' beam search, its best first."""
    import torch
    from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

    class _Deadline(StoppingCriteria):  # type: ignore[misc]
        def __call__(self, tokens: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
            late = time.monotonic() > limits.deadline
            return torch.full((tokens.shape[0],), late, device=tokens.device)

    config = GenerationConfig(
        do_sample=False,
        num_beams=beams,
        num_return_sequences=beams,
        early_stopping=True,
        max_new_tokens=limits.max_new_tokens,
        eos_token_id=list(limits.ends),
        pad_token_id=limits.ends[0],
        return_dict_in_generate=True,
        output_scores=True,
    )
    reuse = {} if len(ids) == 1 else {"past_key_values": _expanded(network, ids, prefix, beams)}
    tokens = torch.tensor([ids], device=network.device)
    with torch.inference_mode():
        out = network.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([_Deadline()]),
            logits_processor=[] if guide is None else [_Guided(guide, len(ids), 2 * beams)],
            **reuse,
        )
    found = []
    for row, score in zip(out.sequences[:, len(ids) :].tolist(), out.sequences_scores, strict=True):
        end = next((i for i, token in enumerate(row) if token in limits.ends), None)
        length = len(row) if end is None else end + 1
        # transformers divides by the length (length_penalty 1); this is the sum again.
        found.append(Written(row[:end], float(score) * length, end is not None))
    return found


class _Guided:
    """A logits processor that leaves each beam its best allowed tokens."""

    def __init__(self, guide: Guide, prompt: int, count: int) -> None:
        self._prompt = prompt
        self._count = count
        self._known: dict[tuple[int, ...], Guide] = {(): guide}  # by the tokens written so far

    def __call__(self, tokens: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        kept = torch.full_like(scores, float("-inf"))
        known: dict[tuple[int, ...], Guide] = {}
        for row, written in enumerate(map(tuple, tokens[:, self._prompt :].tolist())):
            guide = self._known.get(written)
            if guide is None:
                guide = self._known.get(written[:-1], self._known.get(written))
                if guide is None:
                    continue  # a beam that ended: transformers fills it up, unread
                guide = guide.copy()
                guide.accept(written[-1])
            known[written] = guide
            for token in guide.ranked(scores[row], self._count):
                kept[row, token] = scores[row, token]
        self._known = known
        return kept


def sample(
    network: Any,
    ids: list[int],
    prefix: PrefixCache,
    limits: Limits,
    *,
    count: int,
    seed: int,
    temperature: float,
    guide: Guide | None = None,
) -> list[Written]:
    """`count` answers drawn at random, in one batch; the same for the same seed.

    Log-probabilities are those of the model at temperature 1.
    """
    import torch

    generator = torch.Generator(device=network.device).manual_seed(seed)
    cache = _expanded(network, ids, prefix, count)
    guides = [None if guide is None else guide.copy() for _ in range(count)]
    rows: list[list[int]] = [[] for _ in range(count)]
    logprobs, ended, stuck = [0.0] * count, [False] * count, [False] * count
    new = torch.full((count, 1), ids[-1], device=network.device)
    for _ in range(limits.max_new_tokens):
        scores = _forward(network, new, cache)[:, -1].float()
        noise = torch.rand(scores.shape, generator=generator, device=scores.device)
        drawn = scores / temperature - (-noise.clamp_min(1e-20).log()).clamp_min(1e-20).log()
        tokens = drawn.argmax(-1).tolist()  # the Gumbel trick: a draw is an argmax over noise
        for row, token in enumerate(tokens):
            if ended[row] or stuck[row]:
                continue
            mine = guides[row]
            if mine is not None:
                best = mine.best(drawn[row])
                stuck[row] = best is None
                if best is None:
                    continue
                token = tokens[row] = best
                mine.accept(token)
            logprobs[row] += float(scores[row, token] - scores[row].logsumexp(0))
            ended[row] = token in limits.ends
            if not ended[row]:
                rows[row].append(token)
        if all(map(max, ended, stuck)) or time.monotonic() > limits.deadline:
            break
        new = torch.tensor(tokens, device=network.device).unsqueeze(1)
    return [Written(*one) for one in zip(rows, logprobs, ended, strict=True)]
