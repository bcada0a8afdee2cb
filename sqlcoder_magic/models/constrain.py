"""Decoding held to the schema: one read-only SELECT whose names exist, or "I do not know".

Two layers judge a token: the grammar `sql.lark`, run by llguidance, knows the syntax; `reader`
knows which table, alias or column may stand where. A token passes if both take it and both
take one and the same lexeme after it. The model's own choice is asked about first; where it is
refused, whatever begins with the refused letters is struck out with it, and the next best is
asked about. Where a name can go on one way only, the rest is filled in. Needs the extra
`[constrained]`.

What it claims: every table is the schema's or a CTE of the draft; a column behind an alias belongs
to that alias's source; a column without one belongs to a source in sight (in GROUP BY, HAVING and
ORDER BY also to the select list); what a select list names before FROM, FROM declares.

What it does not: types, numbers of columns (of UNION, VALUES and lists of names), ambiguity,
what must be grouped, what a query means, and the guard's rules (`check`), which judge the text
afterwards as ever. It refuses some SQL that is right: a derived table's new columns before that
table's FROM (else any invention would pass, and FROM could end only with a table that has it);
implicit names of output columns; VALUES that stand alone; functions that it does not list.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlcoder_magic.errors import GenerationError, OptionError
from sqlcoder_magic.models.names import RESERVED, Catalog
from sqlcoder_magic.models.reader import Reader
from sqlcoder_magic.models.words import Words
from sqlcoder_magic.types import Schema

if TYPE_CHECKING:
    import torch

_FUNCTIONS = (
    "AGGREGATE JOINED QUANTILE RANKING NEIGHBOUR TILES NILADIC UNARY ROUNDING BINARY TERNARY "
    "VARIADIC NOW"
).split()
_REFUSED = 12  # tokens that are asked about one by one, before many are struck out at once
_LIKE_SPACE = "),;"  # behind a lexeme that the reader refuses before a space
_ELSE = ("TYPE", "FIELD")
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
    text = text.replace("{reserved}", f"({'|'.join(sorted(RESERVED))})")
    # Else a mask leaves out letters that begin a word which alone can come.
    return '%llguidance {"no_forcing": true}\n' + text


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
def _words() -> Words:
    """The words of the grammar, those that begin an operand without a declaration apart."""
    lists = dict(re.findall(r"^([A-Z]+): /[(]?([a-z0-9_| ]+)", _source(), re.M))
    found = frozenset(_OPERANDS).union(*(lists[name].split("|") for name in _FUNCTIONS))
    every = found.union(
        ["precision"], map(str.lower, _keywords()), *(lists[n].split("|") for n in _ELSE)
    )
    return Words(found, tuple(sorted(every)))


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
        plain = one_decoder(tokenizer_json)
        self.tokens = LLTokenizer(plain, n_vocab=vocabulary, eos_token=list(ends))
        self.ends = frozenset(ends)
        self._matcher = LLMatcher(self.tokens, LLMatcher.grammar_from_lark(grammar()), log_level=0)
        if self._matcher.is_error():
            raise GenerationError(f"The grammar is wrong: {self._matcher.get_error()}")

        self._texts: dict[int, str] = {}
        self._sorted = self._by_text()
        self._letters = {
            letter: found[0]
            for letter in map(chr, range(256))
            if len(found := self.tokens.tokenize_bytes(letter.encode("latin-1"))) == 1
        }

    def text(self, token: int) -> str:
        """The bytes of a token, a character each."""
        if token not in self._texts:
            self._texts[token] = self.tokens.decode_bytes([token]).decode("latin-1")
        return self._texts[token]

    def letters(self, text: str) -> list[int]:
        """A token for each letter, up to the first that has none."""
        found = [*map(self._letters.get, text)]
        known = found.index(None) if None in found else len(found)
        return cast("list[int]", found[:known])

    def beginning(self, text: str) -> Any:
        """The tokens that begin with `text`, an array of their numbers."""
        words, tokens = self._sorted
        return tokens[bisect_left(words, text) : bisect_left(words, text + "\u0100")]

    def _by_text(self) -> tuple[list[str], Any]:
        """All texts in order, and the tokens that they are the texts of."""
        import numpy as np

        words = sorted((self.text(token), token) for token in range(self.tokens.vocab_size))
        return [word for word, _ in words], np.array([token for _, token in words])

    def matcher(self) -> Any:
        """A fresh matcher."""
        return self._matcher.deep_copy()


def one_decoder(tokenizer_json: str) -> str:
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
        self._reader = Reader(constraint.catalog, _words())
        # Of what was asked about here: the reader after it, and what the grammar refused.
        self._asked: dict[str, Reader | None] = {}
        self._barred: set[str] = set()

    def copy(self) -> Guide:
        """An independent guide at the same place."""
        other = Guide.__new__(Guide)
        other.__dict__.update(self.__dict__)
        other._matcher = self._matcher.deep_copy()
        other._reader = self._reader.copy()
        return other

    def allows(self, token: int) -> bool:
        """True if `token` may come next."""
        if token in self._grammar.ends:
            return bool(self._matcher.is_accepting()) and self._reader.may_end()
        return self._after(self._grammar.text(token), [token]) is not None

    def accept(self, token: int) -> None:
        """`token` was chosen."""
        self._matcher.consume_token(token)
        if token not in self._grammar.ends:
            text = self._grammar.text(token)
            after = self._asked.get(text)
            if after is None:
                after = self._reader.copy()
                after.feed(text)
            self._reader = after
        self._asked, self._barred = {}, set()

    def best(self, scores: torch.Tensor) -> int | None:
        """The allowed token with the highest score, `scores` [vocabulary]; None in a dead end."""
        token = int(_array(scores).argmax())  # many times as fast as torch's own, on a CPU
        return token if self.allows(token) else next(iter(self.ranked(scores, 1)), None)

    def ranked(self, scores: torch.Tensor, count: int) -> list[int]:
        """Up to `count` allowed tokens, the highest score first; none in a dead end.

        A model that errs means something near, so its next choices are asked about one by one.
        Where a dozen of them are refused, letters that are refused are refused with whatever
        follows them: all tokens that begin so are struck out at once.
        """
        left = _array(scores).copy()
        found: list[int] = []
        refused = 0
        while len(found) < count:
            token = int(left.argmax())
            if left[token] == -math.inf:
                break
            left[token] = -math.inf
            if self.allows(token):
                found.append(token)
                continue
            refused += 1
            if refused == _REFUSED:
                left[~self._legal(len(left))] = -math.inf
            if refused >= _REFUSED and token not in self._grammar.ends:
                left[self._grammar.beginning(self._refused(self._grammar.text(token)))] = -math.inf
        return found

    def _legal(self, count: int) -> Any:
        """Which of `count` tokens the grammar takes next, an array."""
        import numpy as np

        mask = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        return np.unpackbits(mask, count=count, bitorder="little").astype(bool)

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

    def _refused(self, text: str) -> str:
        """The fewest first letters of `text` that cannot come next."""
        letters = self._grammar.letters(text)
        fits = int(self._matcher.validate_tokens(letters))
        for end in range(1, min(fits, len(text)) + 1):
            if self._after(text[:end], letters[:end]) is None:
                return text[:end]
        return text[: fits + 1]

    def _after(self, text: str, tokens: list[int]) -> Reader | None:
        """The reader after `text`, which these tokens spell; None if it cannot come next."""
        if text not in self._asked:
            self._asked[text] = self._judged(text, tokens)
        return self._asked[text]

    def _judged(self, text: str, tokens: list[int]) -> Reader | None:
        if self._matcher.validate_tokens(tokens) < len(tokens):
            return None  # the reader reads nothing but what the grammar takes
        after = self._reader.copy()
        if not after.feed(text):
            return None
        in_string = self._reader.is_in_string() and "'" not in text
        if in_string or after.is_outside():
            return after
        lost: str | None = None  # what makes a lexeme that the reader refuses
        for rest in after.goes_on():
            if rest[:-1] == lost and rest[-1] in _LIKE_SPACE:
                continue
            fits = self._fits(text, tokens, rest)
            if fits and after.copy().feed(rest):
                return after
            if fits and rest[-1] == " ":
                lost = rest[:-1]
        return None

    def _fits(self, text: str, tokens: list[int], rest: str) -> bool:
        """Whether the grammar takes `text`, which it does, and then `rest`."""
        whole = text + rest
        if self._barred:
            for end in range(len(text) + 1, len(whole) + 1):
                if whole[:end] in self._barred:
                    return False
        wanted = [*tokens, *self._grammar.letters(rest)]
        taken = int(self._matcher.validate_tokens(wanted)) + len(text) - len(tokens)  # in letters
        if taken < len(whole):
            self._barred.add(whole[: taken + 1])
        return taken == len(whole)


def _array(scores: torch.Tensor) -> Any:
    """[vocabulary] as an array of floats, not to be changed."""
    return scores.float().cpu().numpy()
