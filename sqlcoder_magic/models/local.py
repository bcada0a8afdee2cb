"""A model run by transformers in this process: GPTBigCode, Llama, Mistral and their kind.

From a prompt to a draft, whatever the way of decoding. Not covered: reading a checkpoint
(`opening`), keeping one model a kernel and Ctrl-C while loading (`loading`), the decoding loops
(`decode`, `graph`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

from sqlcoder_magic.errors import GenerationError, ModelLoadError, PromptTooLongError
from sqlcoder_magic.models.base import OnProgress, OnText, no_progress
from sqlcoder_magic.models.constrain import Constraint, Grammar, Guide
from sqlcoder_magic.models.decode import (
    Limits,
    PrefixCache,
    Written,
    beam_search,
    greedy,
    guesses_at_once,
    lookup_for,
    patient_threads,
    sample,
)
from sqlcoder_magic.models.fit import kv_bytes, memory_error, require_free, this_machine
from sqlcoder_magic.models.graph import StaticDecoder, supported
from sqlcoder_magic.models.lookup import PHRASES
from sqlcoder_magic.models.stops import cut_at_stop
from sqlcoder_magic.types import Draft, ModelSpec, Prompt

TEMPERATURE = 0.7  # of samples: enough to differ, little enough to stay SQL
_COMPILED = "Its steps are compiled before the first answer."
_NOT_COMPILED = "--compile has no effect: no step of this model is recorded here."


class LocalModel:
    """A loaded checkpoint. One question at a time; a second thread waits."""

    def __init__(self, spec: ModelSpec, network: Any, tokens: Any, ends: frozenset[int]) -> None:
        self.spec = spec
        self._network = network
        self._tokens = tokens
        self._ends = ends
        self._prefix = PrefixCache()
        captured = supported(network, spec.quantization)
        self._guesses = guesses_at_once(network)
        self._static = StaticDecoder(network, self._guesses) if captured else None
        self._compiles = False  # as it was asked for, whether it is possible or not
        self._told = ""  # what the status says that compiling or recording could not be
        self._on_progress: OnProgress = no_progress
        self._lookup = lookup_for(network, tokens.encode(PHRASES, add_special_tokens=False).ids)
        self._grammar: Grammar | None = None
        self._busy = threading.Lock()

    @property
    def memory_bytes(self) -> int:
        """Bytes that the weights hold."""
        return int(self._network.get_memory_footprint()) if self._network is not None else 0

    def count_tokens(self, text: str) -> int:
        """The length of `text` in tokens, special tokens counted as text."""
        return len(self._tokens.encode(text, add_special_tokens=False).ids)

    def encode(self, prompt: Prompt) -> list[int]:
        """The prompt's tokens. Only the template's own special tokens become special.

        A template that begins with its own BOS gets no second one; other tokenizers add theirs.
        """
        special = any(part.special for part in prompt.parts)
        if not special:
            return list(self._tokens.encode(prompt.text, add_special_tokens=True).ids)
        ids: list[int] = []
        for part in prompt.parts:
            if part.special:
                token = self._tokens.token_to_id(part.text)
                if token is None:
                    raise ModelLoadError(
                        f"The tokenizer does not know {part.text}, which this prompt needs.",
                        fix="The tokenizer's files belong to another model: copy the right ones.",
                    )
                ids.append(token)
            else:
                ids += self._tokens.encode(part.text, add_special_tokens=False).ids
        return ids

    def compile_steps(self, wanted: bool | None, on_progress: OnProgress = no_progress) -> None:
        """From now on, compile each step before it is recorded, or not (None: as before).

        What failed is not tried again with each question: switch it off and on for that.
        `on_progress` hears when a question has to wait for it.
        """
        self._on_progress = on_progress
        if wanted is None or wanted == self._compiles:
            return
        with self._busy:
            if self._static is not None:
                self._static.clear()
                self._static = StaticDecoder(
                    self._network, self._guesses, compiled=wanted, on_compile=self._compiling
                )
            possible = _COMPILED if self._static is not None else _NOT_COMPILED
            self._say(
                possible if wanted else "", in_place_of=(_COMPILED, _NOT_COMPILED, self._told)
            )
            self._told = ""
            self._compiles = wanted  # last: after Ctrl-C it is not as was asked yet

    def _compiling(self) -> None:
        self._on_progress("compiling the model's step", None)

    def _say(self, note: str, *, in_place_of: tuple[str, ...] = ()) -> None:
        """Add a sentence to what the status says of the model."""
        reason = self.spec.reason
        for old in filter(None, in_place_of):
            reason = reason.replace(f" {old}", "").replace(old, "")
        self.spec = replace(self.spec, reason=f"{reason} {note}".strip())

    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int,
        timeout_s: float,
        beams: int = 1,
        samples: int = 0,
        seed: int = 0,
        constraint: Constraint | None = None,
        on_text: OnText | None = None,
    ) -> Draft:
        """Write an answer. `finished` is False where a limit cut it.

        Raises PromptTooLongError, MemoryShortError (the model stays usable) and OptionError where
        a `constraint` is given and llguidance is not installed.
        """
        began = time.monotonic()
        with self._busy:
            if self._network is None:
                raise GenerationError("This model was unloaded.", fix="Load it again.")
            guide = Guide(self._compiled(), constraint) if constraint is not None else None
            ids = self.encode(prompt)
            self._require_room(len(ids), max_new_tokens, max(beams, samples))
            limits = Limits(max_new_tokens, tuple(sorted(self._ends)), began + timeout_s)
            try:
                with patient_threads(self._network, self.memory_bytes):
                    if beams > 1:
                        return self._beams(ids, limits, beams, guide)
                    if samples:
                        return self._samples(ids, limits, samples, seed, guide)
                    return self._greedy(ids, limits, on_text, guide)
            except RuntimeError as error:
                self._forget()
                raise memory_error(error, self.spec.device) from error

    def _compiled(self) -> Grammar:
        """The grammar for this tokenizer; compiled at the first question that needs it."""
        if self._grammar is None:
            rows = self._network.get_input_embeddings().weight.shape[0]
            rows = max(rows, self._tokens.get_vocab_size())
            self._grammar = Grammar(self._tokens.to_str(), sorted(self._ends), rows)
        return self._grammar

    def _require_room(self, prompt_tokens: int, max_new_tokens: int, sequences: int) -> None:
        tokens = prompt_tokens + max_new_tokens
        if tokens > self.spec.context:
            raise PromptTooLongError(
                f"The prompt has {prompt_tokens:,} tokens; with {max_new_tokens} for the answer "
                f"that is more than {self.spec.name} reads ({self.spec.context:,}).",
                fix="Name the tables that the question needs (--tables a,b), or ask more briefly.",
            )
        if sequences > 1:  # the cache of the prompt, and a copy for each
            need = kv_bytes(self._network.config, tokens, self._network.dtype.itemsize)
            need *= sequences + 1
            static = self._static
            # What was compiled is for its own cache, so it is given up only for want of memory.
            if static and (not static.compiled or need > this_machine().free_bytes):
                static.clear()
            require_free(need, f"{sequences} candidates at once")

    def _greedy(
        self, ids: list[int], limits: Limits, on_text: OnText | None, guide: Guide | None
    ) -> Draft:
        began, compiled = time.monotonic(), self._compile_s()
        first = logprob = least = 0.0
        new: list[int] = []
        text, finished = "", False
        stream = self._stream(ids, limits.max_new_tokens, guide)
        with closing(stream):
            for token, token_logprob in stream:
                first = first or time.monotonic() - began - (self._compile_s() - compiled)
                logprob += token_logprob
                least = min(least, token_logprob)
                if token in self._ends:
                    finished = True
                    break
                new.append(token)
                text, finished = cut_at_stop(self._tokens.decode(new), self.spec.stops)
                if on_text:
                    on_text(text)
                if finished or time.monotonic() > limits.deadline + self._compile_s() - compiled:
                    break
        seconds = time.monotonic() - began - (self._compile_s() - compiled)
        self._lookup.remember(new)
        self._leave_static()
        return Draft(
            text,
            self.spec.name,
            len(ids),
            len(new),
            seconds,
            first,
            logprob,
            finished,
            least_logprob=least,
        )

    def _compile_s(self) -> float:
        """Seconds that compiling took so far; they are not the answer's."""
        return self._static.compile_s if self._static is not None else 0.0

    def _stream(
        self, ids: list[int], count: int, guide: Guide | None
    ) -> Generator[tuple[int, float], None, None]:
        """The captured step where there is one, else the eager loop: the same tokens."""
        static = self._static
        if static is not None and static.fits(len(ids) + count):
            return static.greedy(ids, count, self._lookup, guide)
        return greedy(self._network, ids, self._prefix, count, self._lookup, guide)

    def _leave_static(self) -> None:
        """Say in the status what the step could not be; if not captured, go on without it."""
        static = self._static
        if static is None or not static.note:
            return
        self._say(static.note, in_place_of=() if static.compiles else (_COMPILED,))
        self._told, static.note = f"{self._told} {static.note}".strip(), ""
        if static.failed:
            static.clear()
            self._static = None

    def _forget(self) -> None:
        """Drop what is held of earlier prompts."""
        self._prefix.clear()
        if self._static is not None:
            self._static.clear()

    def _beams(self, ids: list[int], limits: Limits, beams: int, guide: Guide | None) -> Draft:
        began = time.monotonic()
        semicolon = self._tokens.token_to_id(";")
        ends = limits.ends if semicolon is None else (*limits.ends, semicolon)
        limits = replace(limits, ends=ends)
        found = beam_search(self._network, ids, self._prefix, limits, beams=beams, guide=guide)
        return self._draft(ids, found, time.monotonic() - began)

    def _samples(
        self, ids: list[int], limits: Limits, count: int, seed: int, guide: Guide | None
    ) -> Draft:
        began = time.monotonic()
        found = sample(
            self._network,
            ids,
            self._prefix,
            limits,
            count=count,
            seed=seed,
            temperature=TEMPERATURE,
            guide=guide,
        )
        found.sort(key=lambda one: (one.ended, one.logprob), reverse=True)
        return self._draft(ids, found, time.monotonic() - began)

    def _draft(self, ids: list[int], found: list[Written], seconds: float) -> Draft:
        """The first of several answers, with all as its candidates, each text once.

        Nothing is shown before the end, so the first token takes the whole time.
        """
        texts: dict[str, float] = {}
        finished = False
        for number, one in enumerate(found):
            text, cut = cut_at_stop(self._tokens.decode(one.tokens), self.spec.stops)
            if number == 0:
                finished = one.ended or cut
            if one.ended or cut or number == 0:
                texts.setdefault(text, one.logprob)
        best = found[0]
        return Draft(
            next(iter(texts)),
            self.spec.name,
            len(ids),
            len(best.tokens),
            seconds,
            seconds,
            best.logprob,
            finished,
            candidates=tuple(texts.items()),
        )

    def unload(self) -> None:
        """Give the memory back."""
        import gc

        with self._busy:
            self._forget()
            self._network = self._static = None
        gc.collect()
        if self.spec.device == "cuda":
            import torch

            torch.cuda.empty_cache()
