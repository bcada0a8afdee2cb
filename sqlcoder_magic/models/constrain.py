"""Decoding held to the schema: one read-only SELECT whose names exist, or "I do not know".

Two layers judge a token: the grammar `sql.lark`, run by llguidance, knows the syntax; `names`
knows which table, alias or column may stand where. The model's own choice is asked about first, so
that a model that is right costs no mask; where a name can go on one way only, the rest is
filled in. Needs the extra `[constrained]`. Not covered: what a query means, and the guard's
rules (`check`), which judge the text afterwards as ever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlcoder_magic.errors import GenerationError, OptionError
from sqlcoder_magic.models.names import RESERVED, Catalog
from sqlcoder_magic.models.reader import Reader
from sqlcoder_magic.types import Schema

if TYPE_CHECKING:
    import torch

_FUNCTIONS = (
    "AGGREGATE JOINED QUANTILE RANKING NEIGHBOUR TILES NILADIC UNARY ROUNDING BINARY TERNARY "
    "VARIADIC NOW"
).split()
_OPERANDS = (  # words of rules that begin an operand
    "all any between case cast count current date exists extract false interval not null "
    "position substring timestamp trim true unbounded"
).split()


@dataclass(frozen=True)
class Constraint:
    """What a draft may name. Made once a question, from the schema that the prompt shows."""

    catalog: Catalog

    @classmethod
    def of(cls, schema: Schema, quote: Callable[[str], str]) -> Constraint:
        """The constraint of a schema; `quote` is the prompt's rule for quoting a name."""
        return cls(Catalog(schema, quote))


def can_constrain() -> bool:
    """True if the extra `[constrained]` is installed."""
    return find_spec("llguidance") is not None


@cache
def grammar() -> str:
    """The grammar, its keywords filled in, as llguidance reads it."""
    lines = "\n".join(f"{word}: /{word.lower()}/i" for word in _keywords())
    # Not the flag `i`: it would take the long s of Unicode for an S.
    text = re.sub(r"/([^/\n]*)/i", _either_case, _source() + lines)
    return text.replace("{reserved}", f"({'|'.join(sorted(RESERVED))})")


def _source() -> str:
    return (Path(__file__).parent / "sql.lark").read_text("utf-8")


@cache
def _keywords() -> tuple[str, ...]:
    """The terminals that the grammar uses and does not define: each stands for itself."""
    rules = re.sub(r"//.*|/.*?/i?", "", _source())
    defined = set(re.findall(r"^([A-Z]+):", rules, re.M))
    return tuple(sorted(set(re.findall(r"\b[A-Z]{2,}\b", rules)) - defined))


def _either_case(match: re.Match[str]) -> str:
    return f"/({match[1]}|{match[1].upper()})/"


@cache
def _functions() -> frozenset[str]:
    """Words that begin an operand without a declaration."""
    lists = re.findall(rf"^(?:{'|'.join(_FUNCTIONS)}): /[(]?([a-z0-9_|]+)", _source(), re.M)
    return frozenset(_OPERANDS).union(*(words.split("|") for words in lists))


class Grammar:
    """The grammar compiled for one tokenizer. Made once a model, in about half a second."""

    def __init__(self, tokenizer_json: str, ends: Sequence[int], vocabulary: int) -> None:
        try:
            from llguidance import LLMatcher, LLTokenizer
        except ImportError:
            raise OptionError(
                "Decoding under a constraint needs llguidance, which is not installed.",
                fix='%pip install "sqlcoder-magic[constrained]", or constrain=False.',
            ) from None
        plain = _one_decoder(tokenizer_json)
        self.tokens = LLTokenizer(plain, n_vocab=vocabulary, eos_token=list(ends))
        self.ends = frozenset(ends)
        self._matcher = LLMatcher(self.tokens, LLMatcher.grammar_from_lark(grammar()), log_level=0)
        if self._matcher.is_error():
            raise GenerationError(f"The grammar is wrong: {self._matcher.get_error()}")

        self._texts: dict[int, str] = {}

    def text(self, token: int) -> str:
        """The bytes of a token, a character each."""
        if token not in self._texts:
            self._texts[token] = self.tokens.decode_bytes([token]).decode("latin-1")
        return self._texts[token]

    def matcher(self) -> Any:
        """A fresh matcher."""
        return self._matcher.deep_copy()


def _one_decoder(tokenizer_json: str) -> str:
    """The tokenizer, its byte-level decoder alone where it lists several.

    llguidance takes a list that begins with ByteFallback for a SentencePiece tokenizer, and then
    reads `Ġ` as a letter.
    """
    tokenizer = json.loads(tokenizer_json)
    for decoder in (tokenizer.get("decoder") or {}).get("decoders", ()):
        if decoder.get("type") == "ByteLevel":
            tokenizer["decoder"] = decoder
    return json.dumps(tokenizer)


class Guide:
    """One draft on its way: which tokens may come next, and which must."""

    def __init__(self, grammar: Grammar, constraint: Constraint) -> None:
        self._grammar = grammar
        self._matcher = grammar.matcher()
        self._reader = Reader(constraint.catalog, _functions())

    def copy(self) -> Guide:
        """An independent guide at the same place."""
        other = Guide.__new__(Guide)
        other._grammar = self._grammar
        other._matcher = self._matcher.deep_copy()
        other._reader = self._reader.copy()
        return other

    def allows(self, token: int) -> bool:
        """True if `token` may come next."""
        if token in self._grammar.ends:
            return bool(self._matcher.is_accepting()) and self._reader.may_end()
        if not self._matcher.validate_tokens([token]):
            return False
        return self._reader.allows(self._text(token))

    def accept(self, token: int) -> None:
        """`token` was chosen."""
        self._matcher.consume_token(token)
        if token not in self._grammar.ends:
            self._reader.feed(self._text(token))

    def best(self, scores: torch.Tensor) -> int | None:
        """The allowed token with the highest score, `scores` [vocabulary]; None in a dead end."""
        token = int(scores.argmax())
        return token if self.allows(token) else next(iter(self.ranked(scores, 1)), None)

    def ranked(self, scores: torch.Tensor, count: int) -> list[int]:
        """Up to `count` allowed tokens, the highest score first; none in a dead end.

        The two layers together can lead into one: half a word that the grammar takes for the
        beginning of a name, where no name goes on so. A draft stops there, unfinished.
        """
        import torch

        bits = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        mask = (bits.unsqueeze(1) >> torch.arange(8, dtype=torch.uint8)) & 1
        legal = mask.flatten()[: scores.numel()].nonzero().flatten()
        order = legal[scores.cpu()[legal].argsort(descending=True)].tolist()
        found: list[int] = []
        for token in order:
            ending = token in self._grammar.ends
            if self._reader.may_end() if ending else self._reader.allows(self._text(token)):
                found.append(token)
                if len(found) == count:
                    break
        return found

    def forced(self) -> list[int]:
        """Tokens that must come next, because a name can go on in one way only."""
        rest = self._reader.forced()
        if not rest:
            return []
        tokens: list[int] = self._grammar.tokens.tokenize_bytes(rest.encode("latin-1"))
        text = self._grammar.tokens.decode_bytes(tokens).decode("latin-1")
        if text != rest or self._matcher.validate_tokens(tokens) != len(tokens):
            return []
        return tokens

    def _text(self, token: int) -> str:
        return self._grammar.text(token)
