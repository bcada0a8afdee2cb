"""The main job from a shell: `python -m sqlcoder_magic -q "How many sales were there?" --run`.

Without `-c` it asks the sample shop. Several `-q` share one loaded model. For a question of the
sample's own list it says whether the rows equal the known right answer. Exit status: 0 all
answered, 1 an error, 2 a wrong option, 3 some SQL was shown and not run, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper

from sqlcoder_magic.connection import Database, open_database
from sqlcoder_magic.display import TerminalWatcher, answer_text, show_frame, timing_text
from sqlcoder_magic.errors import (
    GenerationError,
    NL2SQLError,
    OptionError,
    QuestionError,
    Stopped,
)
from sqlcoder_magic.memory import Memory
from sqlcoder_magic.models import Model, export_model
from sqlcoder_magic.pipeline import ask
from sqlcoder_magic.sample import QUESTIONS, is_right
from sqlcoder_magic.settings import LineParser, Settings, add_options, setting_values
from sqlcoder_magic.teaching import continued, kept
from sqlcoder_magic.types import Answer

NOT_RUN = 3  # the exit status where the guard or the database refused a draft
LARGER = (
    "This is the bundled 135M model. For work that matters load a larger SQLCoder, such as\n"
    "defog/sqlcoder-7b-2 or defog/llama-3-sqlcoder-8b: --model ID --quantization 4bit (README)."
)


class _Watcher(TerminalWatcher):
    """Also says once which model answers, and why in this precision."""

    told = False

    def model(self, model: Model) -> None:
        super().model(model)
        if not self.told:
            spec = model.spec
            print(f"model   {spec.name}, {model.memory_bytes / 1e6:,.0f} MB", file=self.out)
            print(f"device  {spec.device}, {spec.quantization}: {spec.reason}", file=self.out)
            self.told = True


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer every `-q`; the exit status."""
    parser = LineParser(prog="python -m sqlcoder_magic")
    parser.add_argument("-q", "--question", action="append", help="a question (may be repeated)")
    parser.add_argument("-h", "--help", action="store_true", help="show this page")
    parser.add_argument(
        "--export-model",
        metavar="DIR",
        help="write the bundled model into a new directory, as servers read models, and end",
    )
    add_options(parser)
    settings = Settings()
    for stream in (sys.stdout, sys.stderr):  # arguments and rows may hold what no encoding takes
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        options = vars(parser.parse_args(arguments))
        if options["export_model"] and not options["help"]:
            made = export_model(options["export_model"], options.get("quantization", "bf16"))
            print(f"The bundled model is in {made}.")
            return 0
        if options["help"] or not options["question"]:
            print(parser.format_help())
            return 0 if options["help"] else 2
        if options["into"]:
            raise OptionError(
                "-o binds a variable of a notebook, and a shell has none.",
                fix="--run shows the rows.",
            )
        if options["frames"]:
            raise OptionError(
                "--frames names variables of a notebook, and a shell has none.",
                fix="Name the files they come from: -c 'data/*.csv'.",
            )
        settings = settings.with_values(setting_values(options))
        where = options["connection"] or "sample"
        database = open_database(where)
        return _answer_all(options["question"], database, settings, sample=where == "sample")
    except KeyboardInterrupt:
        return _told(Stopped("Stopped."), debug=False)
    except NL2SQLError as error:
        return _told(error, debug=settings.debug)


def _told(error: NL2SQLError, *, debug: bool) -> int:
    """Say what went wrong, on stderr; the exit status."""
    error.prepare(debug=debug)
    print("\n".join(error._render_traceback_()), file=sys.stderr)
    if isinstance(error, OptionError):
        return 2
    return 130 if isinstance(error, Stopped) else 1


def _answer_all(
    questions: Sequence[str], database: Database, settings: Settings, *, sample: bool
) -> int:
    told, status, bundled = False, 0, False
    memory = Memory() if settings.memory else None
    for number, question in enumerate(questions):
        watcher = _Watcher(show_prompt=settings.show_prompt)
        watcher.told = told
        print(f"\nquestion  {question}")
        try:
            follows = settings.follow_up and number > 0  # each continues the one before
            asked = continued(question, database) if follows else question
            answer = ask(asked, database, settings=settings, watcher=watcher, memory=memory)
        except (GenerationError, QuestionError) as error:  # the other questions may do better
            watcher.clear()
            told, status = watcher.told, _told(error, debug=settings.debug)
            continue
        told = watcher.told
        answer = kept(answer, database, memory)
        bundled = answer.draft.model == "sqlcoder-tiny"
        _show(answer, watcher, question if sample else "")
        wanted = settings.run or settings.explain
        status = status or (NOT_RUN if answer.error is not None and wanted else 0)
    if bundled:
        print(f"\n{LARGER}")
    return status


def _show(answer: Answer, watcher: _Watcher, known: str) -> None:
    watcher.clear()
    if watcher.written:
        print()
    if (
        not watcher.written or answer.notes or answer.plan
    ):  # streamed text is the draft, before translation
        print(answer_text(answer))
    if answer.frame is not None:
        print(show_frame(answer.frame)[0])
    if answer.error is not None:
        print(answer.error)
    verdict = _verdict(known, answer)
    if verdict:
        print(f"known answer  {verdict}")
    print(f"seconds  {timing_text(answer)}")


def _verdict(question: str, answer: Answer) -> str:
    """Whether the rows are right, for a question of the sample's own list; else nothing."""
    known = next((one for one in QUESTIONS if one.question == question), None)
    if known is None:
        return ""
    if answer.frame is None:
        return "not reached: there are no rows"
    frame = answer.frame.astype(object).where(answer.frame.notna(), None)
    rows = list(frame.itertuples(index=False, name=None))
    if is_right(known, [str(name) for name in frame.columns], rows):
        return "the rows are right"
    return f"the rows are NOT right; right is: {known.sql_sqlite[0]}"


if __name__ == "__main__":
    sys.exit(main())
