"""From a prompt to the SQL of an answer: generate, translate, repair, check, choose, try again.

    generate ─► prepared ─┬─► (effort) more candidates, dry-run, perhaps run ─► choose
                          └─► (second_try) refused: ask once more, the error said precisely

Whatever a model writes comes through `prepared`, so that no candidate escapes the guard. Not
covered: what the model reads (`context`), which candidate wins (`choosing`).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Hashable, Iterator
from dataclasses import replace
from itertools import count

from sqlcoder_magic.check import (
    check_sql,
    extract_sql,
    is_refusal,
    repair,
    translate,
    with_values,
)
from sqlcoder_magic.choosing import Candidate, choose, folded
from sqlcoder_magic.context import Asking, Watcher, prompt_for
from sqlcoder_magic.errors import (
    GenerationError,
    ModelError,
    NL2SQLError,
    OptionError,
    RunError,
    SQLRejected,
    Stopped,
)
from sqlcoder_magic.execute import explain_sql, run_sql
from sqlcoder_magic.models import Constraint, Model, can_constrain
from sqlcoder_magic.prompt import quote_name
from sqlcoder_magic.settings import Settings
from sqlcoder_magic.types import CheckedSQL, Draft, Prompt, Schema

MODEL_DIALECT = "postgres"  # what every SQLCoder was trained to write
EFFORT_S = {"fast": 0.0, "normal": 5.0, "best": 20.0}  # seconds for further candidates
SURE = 0.8  # probability of the least sure token from which on the first draft is taken as it is
_DRAWN = 4  # beams or samples at once
_DRY_RUN_S = 2.0  # a plan that takes longer is no reason to wait, nor to drop the candidate
_ROWS = 200  # of a candidate's result, to compare it with others
# Where a trial run costs the user nothing but time; warehouses send a bill for each.
_FREE = frozenset({"sqlite", "duckdb", "postgres", "mysql"})


def first_draft(asking: Asking, model: Model, prompt: Prompt, chosen: Schema) -> Draft:
    """The greedy draft (or the best of `settings.beams`), finished. Raises GenerationError, and
    Stopped on Ctrl-C."""
    settings = asking.settings
    try:
        draft = model.generate(
            prompt,
            max_new_tokens=settings.max_new_tokens,
            timeout_s=settings.generation_timeout_s,
            beams=settings.beams,
            constraint=_constraint(chosen, settings, model),
            on_text=asking.watcher.text,
        )
    except KeyboardInterrupt:
        raise Stopped(
            "Stopped while the model was writing.", fix="Nothing was run; ask again when you like."
        ) from None
    if not draft.finished:
        raise GenerationError(
            f"The model did not come to an end in {draft.new_tokens} tokens and "
            f"{draft.seconds:.0f} s. It wrote:\n{draft.text}",
            fix="Nothing was run. Ask more simply, name the tables (--tables a,b), or raise "
            "max_new_tokens or generation_timeout_s (%config NL2SQL.max_new_tokens = 600).",
            text=draft.text,
        )
    return draft


def best_of(
    asking: Asking, model: Model, prompt: Prompt, chosen: Schema, draft: Draft
) -> Candidate:
    """What becomes of the first draft, of others if there is effort to spend, and of a second
    try if the guard refuses them all. Candidates are run only if the user asked for rows.

    Never raises for what happens after the first draft: that draft then stands, with a note. A
    Ctrl-C makes the answer's error, so that nothing is run.
    """
    with asking.clock("check"):
        first = prepared(draft, asking, chosen)
    best = first
    try:
        if EFFORT_S[asking.settings.effort] and not is_sure(first):
            with asking.clock("candidates"):
                best = _among(first, asking, model, prompt, chosen)
        if asking.settings.second_try and _names_what_is_not(best.error):
            with asking.clock("second_try"):
                best = _tried_again(best, asking, model, chosen)
    except KeyboardInterrupt:
        stopped = Stopped(
            "Stopped while the model was looking for a better answer.",
            fix="The SQL is its first draft; nothing was run. --effort fast does not look.",
        )
        return replace(first, error=first.error or stopped)
    return best


def prepared(draft: Draft, asking: Asking, chosen: Schema) -> Candidate:
    """Translate, repair, check. Raises NoSQLError where the draft holds no statement.

    Names are looked up in the whole schema, values of text in what the model was shown.
    """
    schema, settings = asking.schema, asking.settings
    sql, notes = translate(extract_sql(draft.text), read=MODEL_DIALECT, write=schema.dialect)
    readings: tuple[str, ...] = ()
    repairs = 0
    if settings.repair:
        mended = repair(sql, with_values(schema, chosen))
        sql, notes, readings = mended.sql, notes + mended.notes, mended.readings
        repairs = len(mended.notes)
    try:
        checked = check_sql(sql, schema, allowed_functions=settings.function_names)
    except SQLRejected as rejected:
        rejected.fix = " ".join((rejected.fix, *readings)).strip()
        return Candidate(draft, sql, None, notes, rejected, repairs)
    return Candidate(draft, sql, checked, notes + checked.notes, None, repairs)


def is_sure(first: Candidate) -> bool:
    """True where the first draft passed unmended and the model hesitated nowhere."""
    least = first.draft.least_logprob
    return first.runs and not first.repairs and least is not None and least >= math.log(SURE)


# ---------------------------------------------------------------- candidates


def _among(
    first: Candidate, asking: Asking, model: Model, prompt: Prompt, chosen: Schema
) -> Candidate:
    """The choice among the first draft and what can be drawn in the seconds of the effort."""
    asking.watcher.progress("looking for a better answer", None)
    until = time.monotonic() + EFFORT_S[asking.settings.effort]
    found: dict[str, Candidate] = {folded(first.sql): first}
    problem = ""
    drafts = _drawn(first.draft, asking, model, prompt, chosen, until)
    try:
        for draft in drafts:
            candidate = _candidate(draft, asking, chosen)
            if candidate is not None:
                found.setdefault(folded(candidate.sql), candidate)
    except ModelError as error:  # the first draft stands
        problem = f"No more candidates could be drawn: {error.message.splitlines()[0]}"
    tried = list(found.values())
    if len(tried) > 1:
        trial = _Trial(asking, until)
        tried = [trial(candidate) for candidate in tried]
    best, of = (choice := choose(tried)).best, choice.of
    notes = [*best.notes]
    if best.draft.agreement is not None:
        other = "" if best.draft.text == first.draft.text else "; the first draft was another"
        notes.append(f"Chosen among {of} candidates{other}.")
    return replace(best, notes=tuple([*notes, problem] if problem else notes))


def _drawn(
    first: Draft, asking: Asking, model: Model, prompt: Prompt, chosen: Schema, until: float
) -> Iterator[Draft]:
    """Beams, then samples, until a round says nothing new or there is no time for another."""
    settings = asking.settings
    known = {first.text}
    needed = first.seconds  # what the last round took
    for number in count(1 if model.spec.backend == "server" else 0):  # which has no beams
        began = time.monotonic()
        if began + needed >= until:
            return
        made = model.generate(
            prompt,
            max_new_tokens=settings.max_new_tokens,
            timeout_s=until - began,
            beams=1 if number else _DRAWN,
            samples=_DRAWN if number else 0,
            seed=number,
            constraint=_constraint(chosen, settings, model),
        )
        needed = time.monotonic() - began
        texts = made.candidates or ((made.text, made.logprob),)
        new = [
            (text, logprob)
            for text, logprob in texts
            if text not in known and (made.finished or text != made.text)
        ]
        known |= {text for text, _ in new}
        for text, logprob in new:
            same = made if text == made.text else replace(made, least_logprob=None)
            yield replace(same, text=text, logprob=logprob, candidates=())
        if number and not new:
            return


def _candidate(draft: Draft, asking: Asking, chosen: Schema) -> Candidate | None:
    """A drawn draft prepared; None where it says no, or holds no statement."""
    if is_refusal(draft.text):
        return None
    try:
        return prepared(draft, asking, chosen)
    except GenerationError:
        return None


class _Trial:
    """Dry-runs candidates and, if the user asked for rows, runs them under a small limit.

    A database that does not answer in time is asked no more: its silence is no vote.
    """

    def __init__(self, asking: Asking, until: float) -> None:
        self._asking = asking
        self._until = until
        self._plans = True
        self._rows = asking.settings.run and asking.database.dialect in _FREE

    def __call__(self, candidate: Candidate) -> Candidate:
        """The candidate with its error, or with what stands for its rows."""
        checked = candidate.checked
        if checked is None or not candidate.runs or self._left() <= 0:
            return candidate
        settings = self._asking.settings
        try:
            if self._plans:
                plan = explain_sql(
                    checked,
                    self._asking.database,
                    timeout_s=min(self._left(), _DRY_RUN_S, settings.timeout_s),
                    allow_unverified_engine=settings.allow_unverified_engine,
                )
                limit = settings.max_estimated_rows
                if limit and plan.rows is not None and plan.rows > limit:
                    return candidate
            if self._rows and self._plans and self._left() > 0:
                return replace(candidate, result=self._result(checked))
        except RunError as error:
            if type(error) is RunError:
                return replace(candidate, error=error)
            self._plans = False  # too slow, or an engine that is not asked
        except Stopped:
            raise KeyboardInterrupt from None
        except NL2SQLError:
            self._plans = False
        return candidate

    def _left(self) -> float:
        return self._until - time.monotonic()

    def _result(self, checked: CheckedSQL) -> Hashable:
        """Equal for equal bags of rows; names of columns do not count."""
        settings = self._asking.settings
        frame = run_sql(
            checked,
            self._asking.database,
            row_limit=min(_ROWS, settings.row_limit),
            timeout_s=min(self._left(), settings.timeout_s),
            byte_limit=settings.byte_limit,
            allow_unverified_engine=settings.allow_unverified_engine,
        )
        rows = sorted(map(repr, frame.astype(object).itertuples(index=False, name=None)))
        return (len(frame.columns), bool(frame.attrs.get("truncated")), tuple(rows))


# ---------------------------------------------------------------- the second try


def _names_what_is_not(error: NL2SQLError | None) -> bool:
    return isinstance(error, SQLRejected) and error.rule in ("tables", "columns")


def _tried_again(failed: Candidate, asking: Asking, model: Model, chosen: Schema) -> Candidate:
    """The answer to the same question, asked with what was wrong; the failed one if that is no
    better."""
    asking.watcher.progress("asking once more", None)
    advice = _advice(failed)
    given = asking.question.instructions
    question = replace(asking.question, instructions="\n".join(filter(None, (given, advice))))
    meant = _tables_in(f"{failed.sql} {advice}", chosen)
    try:
        quiet = replace(asking, watcher=Watcher())  # on screen stands the first draft
        prompt = prompt_for(replace(asking, question=question), meant, model)
        draft = first_draft(quiet, model, prompt, meant)
    except ModelError:
        return failed
    except Stopped:
        raise KeyboardInterrupt from None
    again = _candidate(draft, asking, chosen)
    if again is None or not again.runs:
        return failed
    why = failed.error.message.splitlines()[0] if failed.error else ""
    return replace(again, notes=(f"Second try; the first had: {why}", *again.notes))


def _advice(failed: Candidate) -> str:
    """What was wrong, on one line: the name, the nearest names, the tables that have it."""
    error = failed.error
    assert error is not None
    return " ".join(f"{error.message.splitlines()[0]} {error.fix}".split())


def _tables_in(text: str, chosen: Schema) -> Schema:
    """The tables that are named in `text`; all where none is."""
    words = set(re.findall(r"\w+", text.lower()))
    named = tuple(table for table in chosen.tables if table.name.lower() in words)
    return replace(chosen, tables=named or chosen.tables)


def _constraint(schema: Schema, settings: Settings, model: Model) -> Constraint | None:
    """What the draft may name; None where it is free to err."""
    if not settings.constrain:
        return None
    if model.spec.backend != "server" and not can_constrain():  # a server brings its own
        raise OptionError(
            "--constrain needs llguidance, which is not installed.",
            fix='pip install "sqlcoder-magic[constrained]", or ask without --constrain.',
        )
    return Constraint.of(schema, lambda name: quote_name(name, schema.dialect))
