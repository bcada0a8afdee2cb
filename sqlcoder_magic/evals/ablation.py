"""The ablation table of docs/accuracy.md: what each step of the way to an answer is worth.

Made from the files of runs in one directory, `greedy.jsonl`, `repair.jsonl` and so on (`STEPS`);
a step without a file has no row. Each row is compared with the first, question by question; a
step that was measured on fewer questions says so, and is compared on those.
Not covered: making the runs; docs/accuracy.md names their commands.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from pathlib import Path

from sqlcoder_magic.errors import OptionError
from sqlcoder_magic.evals.compare import compare, points
from sqlcoder_magic.evals.outcome import Outcome, RunInfo, read_record
from sqlcoder_magic.evals.report import percent, share

# The file's stem -> the row's name, in the order of the table.
STEPS = {
    "greedy": "greedy, nothing else",
    "constraint": "+ constraint to the schema's names",
    "repair": "+ repair with the schema",
    "candidates": "+ candidates",
    "second_try": "+ second try with the model: all that is on by default",
    "values": "+ values that the question mentions",
    "all": "everything",
}


def ablation_table(folder: Path) -> str:
    """The table and the questions that each step broke, as Markdown, ending with a newline."""
    rows = [(name, *_read(folder / f"{step}.jsonl")) for step, name in _present(folder).items()]
    info, base = rows[0][1], rows[0][2]
    lines = [
        f"{info.suite}, {info.questions} questions, {info.model}, {info.engine}. "
        "Right by Defog's rule; in brackets 95 % intervals.",
        "",
        "| step | right | points over the first row | p | won | broke | strict | executes "
        "| seconds a question |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    broke = []
    for number, (name, _, outcomes) in enumerate(rows):
        short = f" ({len(outcomes)} questions)" if len(outcomes) < len(base) else ""
        lines.append(_row(name + short, base, outcomes, first=number == 0))
        if number and (lost := compare(base, outcomes).lost):
            broke.append(f"- {name}: " + ", ".join(outcome.id for outcome in lost))
    if broke:
        lines += ["", "What it broke (right in the first row, wrong in its own):", "", *broke]
    return "\n".join(lines) + "\n"


def write_table(page: Path, table: str, place: str = "ablation") -> None:
    """Put the table between the page's two marks. Raises OptionError if it has none."""
    marks = re.compile(rf"(<!-- {place} -->\n).*?(<!-- /{place} -->)", re.S)
    try:
        text = page.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{page} cannot be read: {error}.", fix="Check the path.") from None
    found, count = marks.subn(lambda match: match[1] + table + match[2], text, count=1)
    if not count:
        raise OptionError(
            f"{page} has no place for the table.",
            fix=f"Put the lines <!-- {place} --> and <!-- /{place} --> where it belongs.",
        )
    page.write_text(found, "utf-8")


def _present(folder: Path) -> dict[str, str]:
    found = {step: name for step, name in STEPS.items() if (folder / f"{step}.jsonl").is_file()}
    if not found:
        raise OptionError(
            f"{folder} holds no run.",
            fix="It has one file a step, made by run --out: "
            + ", ".join(f"{step}.jsonl" for step in STEPS)
            + ".",
        )
    return found


def _read(path: Path) -> tuple[RunInfo, tuple[Outcome, ...]]:
    info, outcomes = read_record(path)
    if len(outcomes) < info.questions:
        raise OptionError(
            f"{path} is of a run that did not end: {len(outcomes)} of {info.questions} questions.",
            fix="Run the same command again; it goes on from there.",
        )
    return info, outcomes


def _row(name: str, base: Sequence[Outcome], outcomes: Sequence[Outcome], *, first: bool) -> str:
    counted = [outcome for outcome in outcomes if outcome.status != "gold"]
    found = compare(base, outcomes)
    change = ("", "", "", "")
    if not first:
        change = (points(found), f"{found.p:.2g}", str(len(found.won)), str(len(found.lost)))
    cells = (
        name,
        share([outcome.defog for outcome in counted]),
        *change,
        percent([outcome.strict for outcome in counted]),
        percent([outcome.status == "ran" for outcome in counted]),
        f"{statistics.mean(outcome.seconds for outcome in counted):.2f}",
    )
    return "| " + " | ".join(cells) + " |"
