"""Guesses at the next tokens, looked up in the prompt, in earlier answers and in SQL's phrases.

SQL repeats what is written elsewhere: names from the schema, phrases like `GROUP BY`, the joins of
the last question. So the tokens that followed the same words there are a fair guess, and the model
can check several guesses in one forward pass that costs little more than that of one token (prompt
lookup decoding: Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding). A wrong guess costs
that little, never a token: only what the model would have written is kept. How little differs from
processor to processor, so it is measured (`Pace`). Not covered: the checking, which is `decode` and
`graph`; guesses of a smaller model.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

_LONGEST = 3  # tokens that are compared, most first
_REMEMBERED = 2_000  # tokens of earlier answers
PACES = (0, 3, 5)  # guesses at a time: with the token before them 1, 4 and 6, which kernels like
_TRIALS = 2  # runs of each before it is judged: the first one prepares its kernel
_RECENT = 50.0  # guesses that count for how many come true
_SLOWER = 1.02  # what a run is thought to take, a run later: no quick one counts for ever
_AGAIN = 20  # every so many runs the count that was longest not tried: nor does a slow one

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


class Pace:
    """How many guesses at a time pay: what a run with them takes, and how many come true.

    On one CPU a run over four tokens took in fp32 1.5 times as long as one over a single token,
    over three twice as long; in bf16 0.9 times (docs/models.md).
    """

    def __init__(self) -> None:
        self._runs = dict.fromkeys(PACES, 0)
        self._last = dict.fromkeys(PACES, 0)  # how many runs there had been with its last one
        self._seconds = dict.fromkeys(PACES, inf)
        self._right, self._asked = 1.0, 2.0

    def most(self) -> int:
        """How many guesses the next run should check."""
        for count, runs in self._runs.items():
            if runs < _TRIALS:
                return count
        if sum(self._runs.values()) % _AGAIN == 0:
            return min(PACES, key=self._last.__getitem__)
        chance = self._right / self._asked
        return max(
            PACES, key=lambda count: sum(chance**n for n in range(count + 1)) / self._seconds[count]
        )

    def ran(self, guesses: int, asked: int, right: int, seconds: float) -> None:
        """A run with so many guesses took so long; of those that were asked about so many were
        right. Behind a wrong one none is asked about.
        """
        if guesses in self._runs:
            self._runs[guesses] += 1
            self._last[guesses] = sum(self._runs.values())
            self._seconds[guesses] = min(self._seconds[guesses] * _SLOWER, seconds)
        self._right, self._asked = self._right + right, self._asked + asked
        if self._asked > _RECENT:
            self._right, self._asked = self._right / 2, self._asked / 2


class Lookup:
    """Where each run of tokens was last seen. One text at a time: `begin`, then `add` to it."""

    def __init__(self, width: int, phrases: Sequence[int] = (), pace: Pace | None = None) -> None:
        """`width`: guesses at a time, at most; 0 for none. `pace`: fewer where that is quicker."""
        self.width = width
        self.pace = pace
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
        most = min(most, self.width, self.pace.most() if self.pace else self.width)
        for length in range(min(_LONGEST, len(self._text)), 0, -1):
            place = self._behind.get(tuple(self._text[-length:]))
            if place is not None:
                return self._text[place : place + most]
        return []

    def ran(self, guesses: int, asked: int, right: int, seconds: float) -> None:
        """Hear how a run went; see `Pace.ran`."""
        if self.pace is not None:
            self.pace.ran(guesses, asked, right, seconds)

    def remember(self, answer: Sequence[int]) -> None:
        """Keep an answer for the texts to come."""
        self._answers = [*self._answers, *answer][-_REMEMBERED:]
