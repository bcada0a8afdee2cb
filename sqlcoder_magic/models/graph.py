"""Greedy decoding over a static cache; on CUDA each step is one CUDA graph, captured once.

A step of a 7B is a thousand small kernels, and Python cannot launch them as fast as an H100 runs
them: replaying a recorded step gave 5.0 times the tokens of `generate` with a 1.1B, 3.2 to 3.5
times with a 7B, 4.1 times in 4 bits (docs/scale.md). The recording is a thin wrapper around the
step that the tests run on a CPU. It is compared with the eager step at its first use, and switched
off with a note if that fails or they differ. A second step, of several tokens, checks the guesses
of `lookup`: 8.3 and 12.4 times `generate` with the bundled model. Those are an H100's, in bf16,
without a constraint, which no GPU has run yet. Asked to (`compiled`), torch.compile makes fewer and
larger kernels of a step before it is recorded, which takes most of a minute for a 7B; where that
fails, a note says so and the step is recorded as it is. In fp32 the tokens are those of `generate`,
on the H100 too; in bf16 the sums over a longer, masked cache are rounded otherwise, so that near
ties may fall otherwise. Not covered: 8-bit weights (LLM.int8
synchronises within a step), models over several devices, a sliding window shorter than the text,
beams and samples, for all of which `LocalModel` takes `decode`, as it does on a CPU (where this
step was slower on one processor, and quicker on another: docs/models.md); compiling the prefill.
"""

from __future__ import annotations

import gc
import logging
import subprocess
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from sqlcoder_magic.models.decode import Place, alike, close_call, write
from sqlcoder_magic.models.lookup import Lookup

if TYPE_CHECKING:
    import torch

    from sqlcoder_magic.models.constrain import Guide

_ROUND = 512  # lengths are rounded up to this, so that few graphs are ever captured
_COMPILED_ROUND = 2048  # each length is compiled anew
_CHECKED_STEPS = 3
# How far scores of a recording and of the step itself may be apart, as a share of the largest, in
# roots of the precision: half of the digits leaves room for another order of sums. A compiled step
# also rounds less often, which an H100 showed with a 7B: in 16 bits it was more than 0.044 away, as
# a plain pass over the whole text is from one token by token (0.052, docs/scale.md).
_APART, _COMPILED_APART = 0.5, 1.0


def supported(network: Any, quantization: str) -> bool:
    """True if a step of this model can be captured here."""
    devices = set((getattr(network, "hf_device_map", None) or {"": 0}).values())
    return (
        network.device.type == "cuda"
        and quantization != "8bit"
        and len(devices) == 1
        and network._can_compile_fullgraph  # transformers: its step never waits for the device
        and network.config._attn_implementation == "sdpa"
    )


class Step:
    """A run of the model over `width` tokens, behind those that a static cache holds.

    Fixed addresses and no decision, so that it can be recorded. `best` [width, 3] are the most
    likely token behind each of `tokens` [1, width], its log-probability, and how far its score is
    above the next: one copy to the host.
    """

    def __init__(self, network: Any, cache: Any, position: torch.Tensor, width: int) -> None:
        """`position` [1], of the first of the tokens, moves on with each run."""
        import torch

        on = {"device": network.device}
        length = cache.layers[0].max_cache_len
        self.width = width
        self.replay: Callable[[], None] | None = None  # how `run` is run from its second use on
        self.source: Callable[[], None] | None = None  # its compiled code, kept as long as it
        self._network = network
        self._cache = cache
        self._places = torch.arange(length, **on)
        self._ahead = torch.arange(width, **on)
        self.tokens = torch.zeros((1, width), dtype=torch.long, **on)
        self.position = position
        self.mask = torch.zeros((1, 1, width, length), dtype=torch.bool, **on)
        self.scores = torch.zeros((width, network.config.vocab_size), dtype=network.dtype, **on)
        self.best = torch.zeros((width, 3), dtype=torch.float64, **on)

    def run(self) -> None:
        """Run `tokens` through the model, at `position` and behind it; the position moves on."""
        import torch

        positions = self.position + self._ahead
        self.mask.copy_((self._places[None, :] <= positions[:, None])[None, None])
        with torch.no_grad():
            scores = self._network(
                input_ids=self.tokens,
                position_ids=positions[None],
                attention_mask=self.mask,
                past_key_values=self._cache,
                use_cache=True,
            ).logits[0]
        self.scores.copy_(scores[:, : self.scores.shape[1]])
        self.best.copy_(_best(scores))
        self.position.add_(self.width)

    def compiled(self) -> Callable[[], None]:
        """`run`, which torch.compile compiles at the first call, in one piece and for these sizes.

        Its code is a copy of its own: PyTorch counts how often a code object was compiled, for any
        cache, and refuses after the eighth time.
        """
        import torch

        run = Step.run
        own = FunctionType(run.__code__.replace(), run.__globals__, run.__name__)
        compiled: Callable[[], None] = torch.compile(
            MethodType(own, self), fullgraph=True, dynamic=False
        )
        return compiled


def _best(scores: torch.Tensor) -> torch.Tensor:
    """`Step.best` of scores [width, vocabulary]; without an index that waits for the device."""
    import torch

    wide = scores.float()
    highest = wide.topk(2).values
    token = wide.argmax(-1).double()  # as `generate` does: of equal scores topk names another
    return torch.stack(
        [token, highest[:, 0] - wide.logsumexp(-1), highest[:, 0] - highest[:, 1]], -1
    )


def _places(best: torch.Tensor, scores: torch.Tensor) -> list[Place]:
    """`Step.best` with its scores, on the host but for these."""
    return [
        Place(int(token), logprob, ahead, row)
        for (token, logprob, ahead), row in zip(best.tolist(), scores, strict=True)
    ]


def _first_line(error: Exception) -> str:
    """What of an error goes into a note; of one that PyTorch wrapped, the error inside."""
    error = getattr(error, "inner_exception", error)
    return next(iter(str(error).splitlines()), type(error).__name__)[:100]


def _compile_errors() -> tuple[type[Exception], ...]:
    """What compiling may raise: PyTorch's own, those of a C compiler, of its files, of Triton.

    PyTorch's own, TorchDynamoException and those of its Inductor, are RuntimeErrors.
    """
    found = (RuntimeError, subprocess.SubprocessError, OSError, ImportError)
    try:
        from triton.errors import TritonError  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return found
    return (*found, TritonError)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the compiler's advice to those who write models off the screen."""
    loggers = [logging.getLogger(name) for name in ("torch._dynamo", "torch._inductor")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class StaticDecoder:
    """A static cache with its steps. What it holds of the last prompt is used again."""

    def __init__(
        self,
        network: Any,
        guesses: int = 0,
        *,
        compiled: bool = False,
        on_compile: Callable[[], None] = lambda: None,
    ) -> None:
        """`guesses`: as many of a `Lookup` are checked in one run at most.

        `compiled`: each step is compiled before the first answer, and again for a text longer than
        the cache; `on_compile` is called before that.
        """
        self._network = network
        self._captures = network.device.type == "cuda"
        self._widths = (1, 1 + guesses) if guesses else (1,)
        self._steps: list[Step] = []
        self._length = 0
        self._cache: Any = None
        self._ids: list[int] = []  # what the cache holds, guesses among it
        self._begun = False  # True: the prompt of this answer is encoded
        self._at = -1  # where the next token goes on the device; -1: not known
        self.compiles = compiled
        self._on_compile = on_compile
        self.compile_s = 0.0  # what compiling took so far, with recording and comparing
        self.note = ""  # why nothing is compiled or captured, if that is so
        self.failed = False  # True: nothing could be captured, and `decode` is the faster way

    @property
    def compiled(self) -> bool:
        """True if there is compiled code for the cache."""
        return any(step.source is not None for step in self._steps)

    def fits(self, tokens: int) -> bool:
        """True if a text of so many tokens needs no sliding window."""
        window = getattr(self._network.config, "sliding_window", None)
        return window is None or tokens <= window

    def greedy(
        self, ids: list[int], max_new_tokens: int, lookup: Lookup, guide: Guide | None = None
    ) -> Generator[tuple[int, float], None, None]:
        """`decode.write` with these steps."""
        self._make_room(len(ids) + max_new_tokens)
        self._begun = False
        yield from write(self, ids, max_new_tokens, lookup, close_call(self._network), guide)

    def behind(self, text: list[int], guesses: list[int]) -> Iterable[Place]:
        """`Runs.behind`: the prompt in one pass, then a step at a time; fewer guesses at the end
        of the cache, and none behind more forced tokens than a step has room for.
        """
        held = alike(self._ids, text[:-1])
        if not self._begun:
            self._begun = True
            place = self._prefill(text, held)
            self._compile_ahead(text[-1])
            return [place]
        self._ids, new = text[:held], [*text[held:], *guesses]
        while True:
            step = self._step_for(len(new), self._length - held)
            places = self._run(step, new[: step.width])
            rest = len(text) - held
            if rest <= step.width:
                return places[rest - 1 :]
            held, new = held + step.width, new[step.width :]

    def keep(self, text: list[int]) -> None:
        """`Runs.keep`: what lies behind it is written over."""
        self._ids = self._ids[: alike(self._ids, text)]

    def _step_for(self, tokens: int, room: int) -> Step:
        """The narrowest step for so many tokens, else the widest; where there is room for it."""
        fitting = [step for step in self._steps if step.width <= room]
        return next((step for step in fitting if step.width >= tokens), fitting[-1])

    def clear(self) -> None:
        """Forget cache and graphs, and give their memory back."""
        self._steps, self._cache, self._ids, self._length = [], None, [], 0
        if self.compile_s:
            gc.collect()  # compiled code refers to the cache, and to itself
        if self._network.device.type == "cuda":
            import torch

            torch.cuda.empty_cache()

    def _make_room(self, tokens: int) -> None:
        """A cache for so many tokens; the one there is, if it is long enough."""
        import torch
        from transformers.cache_utils import Cache, StaticLayer

        if tokens <= self._length:
            return
        self.clear()
        network = self._network
        limit = network.config.max_position_embeddings
        whole = _COMPILED_ROUND if self.compiles else _ROUND
        self._length = min(-(-tokens // whole) * whole, limit)
        layers = network.config.num_hidden_layers
        self._cache = Cache(layers=[StaticLayer(self._length) for _ in range(layers)])
        position = torch.zeros(1, dtype=torch.long, device=network.device)
        self._steps = [Step(network, self._cache, position, width) for width in self._widths]

    def _prefill(self, ids: list[int], held: int) -> Place:
        """Encode what of the prompt lies behind the tokens that the cache holds."""
        import torch

        self._rewind(held)
        self._ids, self._at = [], -1  # an interrupted forward pass leaves nothing to rely on
        device = self._network.device
        positions = torch.arange(held, len(ids), device=device)
        places = torch.arange(self._length, device=device)
        with torch.no_grad():
            scores = self._network(
                input_ids=torch.tensor([ids[held:]], device=device),
                position_ids=positions[None],
                attention_mask=(places[None, :] <= positions[:, None])[None, None],
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[0, -1:]
        self._ids = list(ids)
        return _places(_best(scores), scores)[0]

    def _rewind(self, length: int) -> None:
        """Let the cache hold the first `length` tokens; the next go behind them."""
        if length == self._at:
            return
        self._at = -1
        self._steps[0].position.fill_(length)
        for layer in self._cache.layers:
            layer.cumulative_length.fill_(length)
        self._at = length

    def _run(self, step: Step, tokens: list[int]) -> list[Place]:
        """The places behind these tokens, which go behind what the cache holds."""
        import torch

        held = self._ids
        if step.replay is None:
            if self.compiles:
                self._compile(step, tokens[0])
            if self._captures and step.replay is None:
                self._capture(step, tokens[0])
        self._rewind(len(held))
        step.tokens[0].fill_(tokens[0])
        if len(tokens) > 1:
            step.tokens[0, : len(tokens)].copy_(torch.tensor(tokens))
        self._ids, self._at = [], -1
        (step.replay or step.run)()
        places = _places(step.best, step.scores)
        self._ids, self._at = [*held, *tokens], len(held) + step.width
        return places[: len(tokens)]

    def _compile_ahead(self, token: int) -> None:
        """Compile before the first word: one wait, and a display that tells of it tears no text."""
        for step in self._steps:
            room = self._length - len(self._ids) >= step.width
            if self.compiles and step.replay is None and room:
                self._compile(step, token)

    def _compile(self, step: Step, token: int) -> None:
        """Compile the step, record it where steps are recorded, and compare both with the step.

        If that fails, the note says so, and no further step is compiled. After Ctrl-C the next
        question begins anew.
        """
        self._on_compile()
        began, compiled = time.monotonic(), step.compiled()
        try:
            with _quiet():
                replay = self._recorded(step, token, compiled) if self._captures else compiled
                same = self._same(step, token, replay, _COMPILED_APART)
            if same:
                step.replay = replay
                step.source = compiled
            else:
                self._not_compiled("the compiled step gave other scores.")
        except _compile_errors() as error:
            self._not_compiled(_first_line(error))
        finally:
            self.compile_s += time.monotonic() - began

    def _not_compiled(self, reason: str) -> None:
        """Compile no further step; one that is compiled stays so."""
        self.compiles = False
        self._remark(f"Compiling off{' for guesses' if self.compiled else ''}: {reason}")

    def _capture(self, step: Step, token: int) -> None:
        """Record the step, and compare the recording with the step itself."""
        try:
            replay = self._recorded(step, token, step.run)
            same = self._same(step, token, replay, _APART)
        except RuntimeError as error:
            self._captures, self.failed = False, True
            self._remark(f"CUDA graph off: {_first_line(error)}")
            return
        if same:
            step.replay = replay
        else:
            self._captures, self.failed = False, True
            self._remark("CUDA graph off: it gave other scores.")

    def _remark(self, sentence: str) -> None:
        self.note = f"{self.note} {sentence}".strip()

    def _same(self, step: Step, token: int, replay: Callable[[], None], most: float) -> bool:
        """True if a few runs of `replay` give the scores of the step itself, but for rounding."""
        import torch

        eager = self._walk(step, token, step.run)
        other = self._walk(step, token, replay)
        apart = float((eager - other).abs().max() / eager.abs().max())
        return bool(apart <= most * torch.finfo(step.scores.dtype).eps ** 0.5)

    def _recorded(self, step: Step, token: int, run: Callable[[], None]) -> Callable[[], None]:
        """`run`, of this step, as a CUDA graph.

        It runs first: libraries take their memory at the first use, and compiling happens then.
        """
        import torch

        current = torch.cuda.current_stream()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(current)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(side):
                self._walk(step, token, run)
            current.wait_stream(side)
            with torch.cuda.graph(graph):
                run()
        finally:
            torch.cuda.set_stream(current)  # a capture that fails leaves its own behind
        return graph.replay

    def _walk(self, step: Step, token: int, run: Callable[[], None]) -> torch.Tensor:
        """The scores [runs, width, vocabulary] of a few runs behind what the cache holds."""
        import torch

        length = len(self._ids)
        self._rewind(length)
        self._at = -1  # whatever comes: each run moves on
        seen = []
        for _ in range(min(_CHECKED_STEPS, (self._length - length) // step.width)):
            step.tokens.fill_(token)
            run()
            seen.append(step.scores.clone().float())
        return torch.stack(seen)
