"""Guesses at the next tokens, looked up in the prompt, in earlier answers and in SQL's phrases.

SQL repeats what is written elsewhere: names from the schema, phrases like `GROUP BY`, the joins of
the last question. So the tokens that followed the same words there are a fair guess, and the model
can check several guesses in one forward pass that costs little more than that of one token (prompt
lookup decoding: Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding). A wrong guess costs
that little, never a token: only what the model would have written is kept. Not covered: the
checking, which is `decode` and `graph`; guesses of a smaller model.
"""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST = 3  # tokens that are compared, most first
_REMEMBERED = 2_000  # tokens of earlier answers

# Letters stand for names: what is meant to be found is what stands between them.
PHRASES = """\
SELECT COUNT(*) FROM a;
SELECT COUNT(DISTINCT a) FROM b WHERE c = 'd' AND e > 1 GROUP BY f HAVING COUNT(*) > 1 \
ORDER BY COUNT(*) DESC LIMIT 1;
SELECT T1.a, T2.b FROM c AS T1 JOIN d AS T2 ON T1.e = T2.e JOIN f AS T3 ON T2.g = T3.g \
WHERE T1.h = 'i' GROUP BY T1.a ORDER BY T1.b DESC LIMIT 1;
SELECT MAX(a), MIN(b), AVG(c), SUM(d) FROM e WHERE a > (SELECT AVG(a) FROM e);
SELECT a FROM b WHERE c NOT IN (SELECT d FROM e);
SELECT a FROM b EXCEPT SELECT a FROM b JOIN c ON b.d = c.d;
SELECT a FROM b WHERE c = 'd' INTERSECT SELECT a FROM b WHERE c = 'e';
"""


class Lookup:
    """Where each run of tokens was last seen. One text at a time: `begin`, then `add` to it."""

    def __init__(self, width: int, phrases: Sequence[int] = ()) -> None:
        """`width`: guesses at a time, at most; 0 for none."""
        self._width = width
        self._phrases = list(phrases)
        self._answers: list[int] = []
        self._text: list[int] = []
        self._behind: dict[tuple[int, ...], int] = {}  # a run of tokens -> the place behind it

    def begin(self, prompt: Sequence[int]) -> None:
        """Begin a text with this prompt, behind what is remembered."""
        self._text, self._behind = [], {}
        for token in (*self._phrases, *self._answers, *prompt):
            self.add(token)

    def add(self, token: int) -> None:
        """Go on with the text."""
        text = self._text
        for length in range(1, min(_LONGEST, len(text)) + 1):
            self._behind[tuple(text[-length:])] = len(text)
        text.append(token)

    def guesses(self, most: int) -> list[int]:
        """Up to `most` tokens that may follow: those behind the longest run like the text's end."""
        for length in range(min(_LONGEST, len(self._text)), 0, -1):
            place = self._behind.get(tuple(self._text[-length:]))
            if place is not None:
                return self._text[place : place + min(most, self._width)]
        return []

    def remember(self, answer: Sequence[int]) -> None:
        """Keep an answer for the texts to come."""
        self._answers = [*self._answers, *answer][-_REMEMBERED:]
