"""`python -m sqlcoder_magic.evals run|compare|report|ablation|calibrate`: how right is it?

Parses the line, calls, prints the report. Nothing else.
"""

from __future__ import annotations

import os
import platform
import sys
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlcoder_magic.errors import NL2SQLError, OptionError
from sqlcoder_magic.evals.ablation import ablation_table, write_table
from sqlcoder_magic.evals.calibrate import calibrated, weights_text
from sqlcoder_magic.evals.compare import RULES, compare, comparison_text
from sqlcoder_magic.evals.engine import Engine, SqliteEngine
from sqlcoder_magic.evals.outcome import Outcome, Record, RunInfo, read_predictions, read_record
from sqlcoder_magic.evals.report import html_page, markdown
from sqlcoder_magic.evals.runner import Predict, given_predictor, model_predictor, run_suite
from sqlcoder_magic.evals.steps import steps_predictor
from sqlcoder_magic.evals.suites import Suite, open_suite
from sqlcoder_magic.settings import EFFORTS, QUANTIZATIONS, LineParser, Settings

_PROGRAM = "python -m sqlcoder_magic.evals"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from a shell; the exit status is 0, or 1 after a sentence on standard error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words.pop(0) if words and words[0] in _COMMANDS else "run"
    parser, command = _COMMANDS[name]
    try:
        if {"-h", "--help"} & set(words):
            print(parser().format_help())
        else:
            print(command(parser().parse_args(words)), end="")
    except NL2SQLError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. With --out, the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


# ---------------------------------------------------------------- run


_STEPS = {
    "--second-try": "ask once more where the guard refuses a name",
    "--values": "look up the values that the question mentions",
}


def _run_parser() -> LineParser:
    parser = LineParser(
        prog=f"{_PROGRAM} run",
        description="Ask every question of a suite and score what comes back. "
        f"Other commands: {_PROGRAM} compare|report|ablation|calibrate --help.",
    )
    add = parser.add_argument
    add(
        "--suite",
        default="own",
        metavar="NAME",
        help="sample, clinic, own, or a file: .json(.xz), Spider's dev.json, sql-eval's .csv",
    )
    add("--databases", metavar="DIR", help="where the file's SQLite databases lie")
    add(
        "--engine",
        default="sqlite",
        metavar="sqlite|URL",
        help="where the SQL runs: sqlite, or postgresql://… (the databases are loaded into "
        "throwaway schemas there)",
    )
    add("--model", default="", metavar="NAME", help="a hub id or a directory (empty: the bundled)")
    add("--quantization", default="auto", choices=QUANTIZATIONS, help="precision of the weights")
    add("--beams", type=int, default=1, metavar="N", help="beams of the search (1: greedy)")
    add("--limit", type=_positive, metavar="N", help="only so many questions, spread evenly")
    add(
        "--check",
        action=BooleanOptionalAction,
        default=None,
        help="put the guard between draft and run (default: for the project's own suites)",
    )
    add(
        "--repair",
        action=BooleanOptionalAction,
        default=None,
        help="mend drafts with the schema (default: for the project's own suites)",
    )
    add(
        "--effort",
        default="fast",
        choices=EFFORTS,
        help="draw candidates, dry-run and run them, as ask does (default: the first draft alone)",
    )
    for flag, does in _STEPS.items():
        add(flag, action="store_true", help=does)
    add("--predictions", metavar="FILE", help='score this SQL, lines of {"id", "sql"}; no model')
    add("--timeout", type=float, default=30.0, metavar="SECONDS", help="limit of each statement")
    add(
        "--workers",
        type=_positive,
        default=0,
        metavar="N",
        help="score in so many processes; one that hangs is ended (default: here, in none)",
    )
    add("--out", metavar="FILE", help="keep outcomes here (JSON lines); a run goes on from it")
    add("--html", metavar="FILE", help="write the report as a page, too")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _run(options: Namespace) -> str:
    suite = open_suite(options.suite, options.databases).first(options.limit)
    check = suite.check if options.check is None else options.check
    repaired = suite.check if options.repair is None else options.repair
    with _engine(options.engine, suite) as (engine, there):
        predict, name = _predictor(options, there)
        info = RunInfo(suite.name, len(suite.items), name, check, engine.dialect, repaired)
        record = Record(Path(options.out), info) if options.out else None

        def on_outcome(number: int, total: int, outcome: Outcome) -> None:
            if record:
                record.add(outcome)
            _show(number, total, outcome)

        outcomes = run_suite(
            there,
            predict,
            check=check,
            repaired=repaired,
            engine=engine,
            workers=options.workers,
            done=record.outcomes if record else (),
            timeout_s=options.timeout,
            on_outcome=on_outcome,
        )
    machine = f"{platform.machine()}, {os.cpu_count()} CPU cores"
    if options.html:
        _write(Path(options.html), html_page(info, outcomes, machine=machine))
    return markdown(info, outcomes, machine=machine)


@contextmanager
def _engine(name: str, suite: Suite) -> Iterator[tuple[Engine, Suite]]:
    """Where the SQL runs, and the suite as it looks there."""
    if name == "sqlite":
        yield SqliteEngine(suite.databases), suite
        return
    if not name.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
        raise OptionError(
            "--engine takes sqlite or a PostgreSQL URL.", fix="--engine postgresql://user@host/db"
        )
    from sqlcoder_magic.evals.postgres import loaded

    with loaded(name, suite) as (engine, there):
        yield engine, there


def _predictor(options: Namespace, suite: Suite) -> tuple[Predict, str]:
    """What answers, and its name in the report."""
    if options.predictions:
        path = Path(options.predictions)
        return given_predictor(suite, read_predictions(path)), path.name
    from sqlcoder_magic.models import open_model

    print("Loading the model …", file=sys.stderr)
    model = open_model(options.model or None, quantization=options.quantization)
    spec = model.spec
    settings = Settings(
        beams=options.beams,
        effort=options.effort,
        second_try=options.second_try,
        values=options.values,
        run=True,
    )
    steps = [options.effort] if options.effort != "fast" else []
    steps += [step for step in ("second_try", "values") if getattr(options, step)]
    beams = [f"{options.beams} beams"] if options.beams > 1 else []
    said = "".join(f", {one}" for one in beams + steps)
    name = f"{spec.name} ({spec.quantization} on {spec.device}{said})"
    if not steps:
        return model_predictor(model, beams=options.beams), name
    if options.engine != "sqlite":
        raise OptionError(
            "--effort, --second-try and --values ask SQLite files.", fix="Leave out --engine."
        )
    return steps_predictor(model, suite, settings), name


def _show(number: int, total: int, outcome: Outcome) -> None:
    """A line of progress on standard error: a mark for right, close, or wrong."""
    mark = "right" if outcome.strict else "right by Defog's rule" if outcome.defog else "wrong"
    fate = "" if outcome.status == "ran" else f" ({outcome.status})"
    seconds = f"{outcome.seconds:5.1f} s"
    print(f"{number:4}/{total} {seconds}  {outcome.id}: {mark}{fate}", file=sys.stderr, flush=True)


# ---------------------------------------------------------------- compare, report, ablation


def _compare_parser() -> LineParser:
    parser = LineParser(
        prog=f"{_PROGRAM} compare",
        description="Two runs, question by question: the difference with its interval, McNemar's "
        "exact test, and the questions won and lost.",
    )
    parser.add_argument("first", help="the file of a run (--out)")
    parser.add_argument("second", help="the file of another")
    parser.add_argument("--rule", default="defog", choices=tuple(RULES), help="which list to show")
    return parser


def _compare(options: Namespace) -> str:
    paths = Path(options.first), Path(options.second)
    (one, first), (other, second) = map(read_record, paths)
    if one.suite != other.suite:
        raise OptionError(
            f"One run is of {one.suite}, the other of {other.suite}.",
            fix="Compare runs of one suite.",
        )
    rules = sorted(RULES, key=lambda rule: rule != options.rule)
    found = {rule: compare(first, second, rule=rule) for rule in rules}
    return comparison_text((paths[0].stem, paths[1].stem), found)


def _report_parser() -> LineParser:
    parser = LineParser(prog=f"{_PROGRAM} report", description="The report of a run's file.")
    parser.add_argument("file", help="the file of a run (--out)")
    parser.add_argument("--html", metavar="FILE", help="write it as a page, too")
    return parser


def _report(options: Namespace) -> str:
    info, outcomes = read_record(Path(options.file))
    if options.html:
        _write(Path(options.html), html_page(info, outcomes))
    return markdown(info, outcomes)


def _ablation_parser() -> LineParser:
    parser = LineParser(
        prog=f"{_PROGRAM} ablation",
        description="The table of docs/accuracy.md, from the files of runs in a directory.",
    )
    parser.add_argument("folder", help="the directory: greedy.jsonl, repair.jsonl …")
    parser.add_argument("--write", metavar="PAGE", help="put the table into this page, too")
    return parser


def _ablation(options: Namespace) -> str:
    table = ablation_table(Path(options.folder))
    if options.write:
        write_table(Path(options.write), table)
    return table


def _calibrate_parser() -> LineParser:
    parser = LineParser(
        prog=f"{_PROGRAM} calibrate",
        description="Fit the confidence to runs of the bundled model (run --repair --check --out), "
        "and say how far it can be believed.",
    )
    parser.add_argument("file", help="the file of a run (--out)")
    parser.add_argument("--candidates", metavar="FILE", help="that of a run with --effort")
    parser.add_argument(
        "--model", default="sqlcoder-tiny", metavar="NAME", help="whose answers these are"
    )
    parser.add_argument("--weights", metavar="FILE", help="write the weights there (JSON)")
    parser.add_argument("--plot", metavar="FILE", help="draw the reliability there (SVG)")
    parser.add_argument("--write", metavar="PAGE", help="put the table into this page, too")
    return parser


def _calibrate(options: Namespace) -> str:
    data, text, plot = calibrated(
        Path(options.file), Path(options.candidates) if options.candidates else None, options.model
    )
    if options.write:
        write_table(Path(options.write), text, place="calibration")
    if options.weights:
        _write(Path(options.weights), weights_text(data))
    if options.plot:
        _write(Path(options.plot), plot)
    return text


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error}.", fix="Check the path.") from None


_COMMANDS: dict[str, tuple[Callable[[], LineParser], Callable[[Namespace], str]]] = {
    "run": (_run_parser, _run),
    "compare": (_compare_parser, _compare),
    "report": (_report_parser, _report),
    "ablation": (_ablation_parser, _ablation),
    "calibrate": (_calibrate_parser, _calibrate),
}


if __name__ == "__main__":
    sys.exit(main())
