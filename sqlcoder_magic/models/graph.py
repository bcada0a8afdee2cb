"""Greedy decoding over a static cache; on CUDA each step is one CUDA graph, captured once.

A step of a 7B is a thousand small kernels, and Python cannot launch them as fast as an H100 runs
them: replaying a recorded step gave 5.0 times the tokens of `generate` with a 1.1B, 3.5 times with
a 7B (docs/scale.md). The recording is a thin wrapper around the step that the tests run on a CPU.
It is compared with the eager step at its first use, and switched off with a note if that fails or
they differ. In fp32 the tokens are those of `generate`, on the H100 too; in bf16 the sums over a
longer, masked cache are rounded otherwise, so that near ties may fall otherwise. Not covered: 8-bit
weights (LLM.int8 synchronises within a step), models over several devices, a sliding window shorter
than the text, beams and a constraint, for all of which `LocalModel` takes `decode`, as it does on a
CPU, where this step is the slower one; a compiled step.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_ROUND = 512  # lengths are rounded up to this, so that few graphs are ever captured
_CHECKED_STEPS = 3


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


class StaticDecoder:
    """A static cache with its step. What it holds of the last prompt is used again."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._captures = network.device.type == "cuda"
        self._replay: Callable[[], None] | None = None
        self._length = 0
        self._cache: Any = None
        self._ids: list[int] = []  # what the cache holds
        self.note = ""  # why nothing is captured, if that is so

    def fits(self, tokens: int) -> bool:
        """True if a text of so many tokens needs no sliding window."""
        window = getattr(self._network.config, "sliding_window", None)
        return window is None or tokens <= window

    def greedy(
        self, ids: list[int], max_new_tokens: int
    ) -> Generator[tuple[int, float], None, None]:
        """Like `decode.greedy`: yield (token, log-probability) until the caller stops."""
        self._make_room(len(ids) + max_new_tokens)
        self._prefill(ids)
        for count in range(1, max_new_tokens + 1):
            token, logprob = self._best.tolist()
            yield int(token), logprob
            if count < max_new_tokens:
                self._run(int(token))

    def clear(self) -> None:
        """Forget cache and graph, and give their memory back."""
        self._replay, self._cache, self._ids, self._length = None, None, [], 0
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
        self._length = min(-(-tokens // _ROUND) * _ROUND, limit)
        layers = network.config.num_hidden_layers
        self._cache = Cache(layers=[StaticLayer(self._length) for _ in range(layers)])
        on = {"device": network.device}
        self._token = torch.zeros((1, 1), dtype=torch.long, **on)
        self._position = torch.zeros((1, 1), dtype=torch.long, **on)
        self._places = torch.arange(self._length, **on)
        self._mask = torch.zeros((1, 1, 1, self._length), dtype=torch.bool, **on)
        self._scores = torch.zeros(network.config.vocab_size, dtype=network.dtype, **on)
        # Token and log-probability side by side: one copy to the host a step.
        self._best = torch.zeros(2, dtype=torch.float64, **on)

    def _prefill(self, ids: list[int]) -> None:
        """Encode what of the prompt the cache does not hold yet."""
        import torch

        common = 0
        for held, wanted in zip(self._ids, ids[:-1], strict=False):
            if held != wanted:
                break
            common += 1
        self._ids = []  # an interrupted forward pass leaves nothing to rely on
        self._rewind(common)
        new = torch.tensor([ids[common:]], device=self._network.device)
        positions = torch.arange(common, len(ids), device=self._network.device)
        mask = self._places[None, :] <= positions[:, None]
        self._forward(new, positions[None], mask[None, None])
        self._rewind(len(ids))
        self._ids = list(ids)

    def _rewind(self, length: int) -> None:
        """Let the cache hold the first `length` tokens; the next goes behind them."""
        self._position.fill_(length)
        for layer in self._cache.layers:
            layer.cumulative_length.fill_(length)

    def _forward(self, new: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor) -> None:
        import torch

        with torch.no_grad():
            scores = self._network(
                input_ids=new,
                position_ids=positions,
                attention_mask=mask,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[0, -1]
        self._scores.copy_(scores[: self._scores.numel()])
        # The highest by max, not by an index on the device: that would wait for the device.
        best, token = scores.float().max(0)
        self._best[0].copy_(token)
        self._best[1].copy_(best - scores.float().logsumexp(0))

    def _step(self) -> None:
        """Run `_token` through the model. Fixed addresses and no decision: it can be recorded."""
        self._mask.copy_((self._places <= self._position[0, 0])[None, None, None])
        self._forward(self._token, self._position, self._mask)
        self._position.add_(1)

    def _run(self, token: int) -> None:
        if self._captures and self._replay is None:
            self._capture(token)
        self._token.fill_(token)
        held, self._ids = self._ids, []
        (self._replay or self._step)()
        self._ids = [*held, token] if len(held) < self._length else held

    def _capture(self, token: int) -> None:
        """Record the step, and compare the recording with the step itself."""
        import torch

        length = len(self._ids)
        try:
            replay = self._recorded(token, length)
            eager = self._walk(token, length, self._step)
            recorded = self._walk(token, length, replay)
        except RuntimeError as error:
            self._captures, self.note = False, f"CUDA graph off: {str(error).splitlines()[0][:100]}"
        else:
            # The kernels are the same; half of the digits leaves room for another order of sums.
            apart = float((eager - recorded).abs().max() / eager.abs().max())
            if apart <= 0.5 * torch.finfo(self._scores.dtype).eps ** 0.5:
                self._replay = replay
            else:
                self._captures, self.note = False, "CUDA graph off: it gave other scores."
        self._rewind(length)

    def _recorded(self, token: int, length: int) -> Callable[[], None]:
        """The step as a CUDA graph. It runs first: libraries take their memory at the first use."""
        import torch

        current = torch.cuda.current_stream()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(current)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(side):
                self._walk(token, length, self._step)
            current.wait_stream(side)
            with torch.cuda.graph(graph):
                self._step()
        finally:
            torch.cuda.set_stream(current)  # a capture that fails leaves its own behind
        return graph.replay

    def _walk(self, token: int, length: int, step: Callable[[], None]) -> torch.Tensor:
        """The scores [steps, vocabulary] of a few steps behind the first `length` tokens."""
        import torch

        self._rewind(length)
        seen = []
        for _ in range(min(_CHECKED_STEPS, self._length - length)):
            self._token.fill_(token)
            step()
            seen.append(self._scores.clone().float())
        return torch.stack(seen)
