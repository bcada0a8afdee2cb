"""Outcomes -> a report, as Markdown or as an HTML page of one file: percent right, with intervals.

The interval is a percentile bootstrap (95 %) over questions, seeded, so that the same outcomes
print the same figures. Not covered: comparing two runs (`compare`).
"""

from __future__ import annotations

import html
import statistics
from collections.abc import Callable, Iterable, Sequence
from random import Random

from sqlcoder_magic.errors import visible
from sqlcoder_magic.evals.outcome import STATUSES, Outcome, RunInfo

_RESAMPLES = 1000
_MEANING = {
    "ran": "ran",
    "refused": "the model said that it does not know",
    "no_sql": "held no single statement",
    "unparsable": "did not parse",
    "rejected": "refused by the guard",
    "failed": "failed in the database",
    "timeout": "stopped at the time limit",
}
_HEAD = ("n", "right (Defog's rule)", "right (strict)", "executes")
_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:62em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid "
    "#ccc;text-align:right}td:first-child,th:first-child{text-align:left}"
    "pre{white-space:pre-wrap;background:#f5f5f5;padding:.5em;margin:.3em 0}"
    "details{margin:.4em 0}@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}"
    "pre{background:#222}}"
)


def markdown(info: RunInfo, outcomes: Sequence[Outcome], *, machine: str = "") -> str:
    """The whole report, ending with a newline."""
    counted = _counted(outcomes)
    lines = [f"# {_title(info, counted)}", "", _setting(info, machine)]
    for title, rows in _tables(counted):
        lines += ["", f"| {title} | " + " | ".join(_HEAD) + " |", "|---|---:|---:|---:|---:|"]
        lines += [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows
        ]
    return "\n".join([*lines, "", *_sentences(outcomes)]) + "\n"


def html_page(info: RunInfo, outcomes: Sequence[Outcome], *, machine: str = "") -> str:
    """The report as a page that needs nothing else, with every question that is not right.

    Whatever comes from a model, a suite or a database is escaped.
    """
    counted = _counted(outcomes)
    title = _escaped(_title(info, counted))
    body = [f"<h1>{title}</h1>", f"<p>{_escaped(_setting(info, machine))}</p>"]
    for name, rows in _tables(counted):
        head = "".join(f"<th>{_escaped(cell)}</th>" for cell in (name, *_HEAD))
        lines = (
            "<tr>" + "".join(f"<td>{_escaped(cell.strip('*'))}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        body.append(f"<table><tr>{head}</tr>{''.join(lines)}</table>")
    body += [f"<p>{_escaped(sentence)}</p>" for sentence in _sentences(outcomes)]
    wrong = [outcome for outcome in outcomes if not outcome.strict]
    body.append(f"<h2>Not right by both rules: {len(wrong)}</h2>")
    body += [_case(outcome) for outcome in wrong]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _case(outcome: Outcome) -> str:
    """One question with what became of it, folded."""
    fate = "right by Defog's rule alone" if outcome.defog else _MEANING.get(outcome.status, "gold")
    fate = "ran, other rows" if fate == "ran" else fate
    shown = outcome.sql or outcome.draft
    message = f"<p>{_escaped(outcome.message)}</p>" if outcome.message else ""
    return (
        f"<details><summary>{_escaped(outcome.id)} ({_escaped(fate)}): "
        f"{_escaped(outcome.question)}</summary><pre>{_escaped(shown)}</pre>{message}</details>"
    )


def _escaped(text: str) -> str:
    return html.escape(visible(text))


def _counted(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.status != "gold"]


def _title(info: RunInfo, counted: Sequence[Outcome]) -> str:
    return f"{info.suite}: {len(counted)} questions, {info.model}"


def _setting(info: RunInfo, machine: str) -> str:
    engine = "" if info.engine == "sqlite" else f" Engine: {info.engine}."
    repair = "on" if info.repaired else "off"
    return f"Guard: {'on' if info.check else 'off'}. Repair: {repair}.{engine}" + (
        f" Machine: {machine}." if machine else ""
    )


def interval(right: Sequence[bool], *, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of a share, between 0 and 1. Empty: (0, 1).

    Where all or none are right, every resample says the same: then it is the exact interval
    (Clopper and Pearson, 1934), so that three of three do not look certain.
    """
    if not right:
        return 0.0, 1.0
    n = len(right)
    if all(right) or not any(right):
        open_side = 0.025 ** (1 / n)
        return (open_side, 1.0) if all(right) else (0.0, 1 - open_side)
    rng = Random(seed)
    shares = sorted(sum(rng.choices(right, k=n)) / n for _ in range(_RESAMPLES))
    return shares[int(0.025 * _RESAMPLES)], shares[int(0.975 * _RESAMPLES) - 1]


def _tables(counted: Sequence[Outcome]) -> Iterable[tuple[str, list[tuple[str, ...]]]]:
    """(what it is by, its rows): by category with a line for all, and by hardness."""
    by_category = [*_rows(counted, lambda outcome: outcome.category), _row("**all**", counted)]
    yield "category", by_category
    yield "hardness", list(_rows(counted, lambda outcome: outcome.hardness))


def _rows(outcomes: Sequence[Outcome], key: Callable[[Outcome], str]) -> Iterable[tuple[str, ...]]:
    for name in dict.fromkeys(key(outcome) for outcome in outcomes):
        yield _row(name, [outcome for outcome in outcomes if key(outcome) == name])


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    return (
        name,
        str(len(outcomes)),
        share([outcome.defog for outcome in outcomes]),
        share([outcome.strict for outcome in outcomes]),
        percent([outcome.status == "ran" for outcome in outcomes]),
    )


def share(right: Sequence[bool]) -> str:
    """Percent with its interval: `66.7 % (9-99)`."""
    low, high = interval(right)
    return f"{percent(right)} ({100 * low:.0f}-{100 * high:.0f})"


def percent(right: Sequence[bool]) -> str:
    """`66.7 %`; `-` of nothing."""
    return f"{100 * sum(right) / len(right):.1f} %" if right else "-"


def _sentences(outcomes: Sequence[Outcome]) -> Iterable[str]:
    counted = _counted(outcomes)
    yield _fates(counted)
    if any(outcome.new_tokens for outcome in counted):
        yield _speed(counted)
    if len(outcomes) > len(counted):
        left_out = len(outcomes) - len(counted)
        yield f"{left_out} questions do not count: their gold did not run."


def _fates(outcomes: Sequence[Outcome]) -> str:
    """How far the drafts came, in a sentence."""
    parsed = percent([outcome.parsed for outcome in outcomes])
    counts = ((name, sum(outcome.status == name for outcome in outcomes)) for name in STATUSES)
    parts = [f"{count} {_MEANING[name]}" for name, count in counts if count]
    return f"Drafts that parse: {parsed}. Of all drafts, " + ", ".join(parts) + "."


def _speed(outcomes: Sequence[Outcome]) -> str:
    asked = [outcome for outcome in outcomes if outcome.new_tokens]
    seconds = sorted(outcome.seconds for outcome in asked)
    tokens = sum(outcome.new_tokens for outcome in outcomes)
    slowest = seconds[min(int(0.9 * len(seconds)), len(seconds) - 1)]
    first = statistics.median(outcome.first_token_s for outcome in asked)
    return (
        f"Generation: median {statistics.median(seconds):.2f} s a question, "
        f"{sum(seconds):.0f} s in all, {tokens:,} tokens; nine in ten took at most "
        f"{slowest:.2f} s"
        + (f", the first token came after {first:.2f} s (median)." if first else ".")
    )
