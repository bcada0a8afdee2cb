"""`%%nl2sql` and `%sqlcoder`: parse a line, call, show; nothing else.

What a question needs (sqlglot, SQLAlchemy, the pipeline) is imported by the first one, to keep
`%load_ext` quick. Errors of this package show as their sentence, in place of a traceback
(`errors.NL2SQLError._render_traceback_`); `--debug` puts the traceback before it. The
traits of `NL2SQL` are made from `settings.Settings`.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Bool, Enum, Float, Int, TraitError, TraitType, Unicode
from traitlets.config import Configurable

from sqlcoder_magic.errors import NL2SQLError, OptionError, Stopped
from sqlcoder_magic.settings import Settings, option_of, parse_line, setting_values

_LINE_THAT_ASKS = re.compile(r"(\s*)%nl2sql\s+(\S.*\?)\s*")
_NOTEBOOK_NAMES = {"In", "Out", "get_ipython", "exit", "quit", "open", "display"}


def _trait(item: Any) -> TraitType[Any, Any]:
    """The trait of one field of Settings."""
    option, default = option_of(item), item.default
    if option.choices:
        made: TraitType[Any, Any] = Enum(option.choices, default)
    elif isinstance(default, bool):
        made = Bool(default)
    elif isinstance(default, int):
        made = Int(default, min=option.minimum, max=option.maximum)
    elif isinstance(default, float):
        made = Float(default, min=option.minimum, max=option.maximum)
    else:
        made = Unicode(default)
    made.help = option.help
    return made.tag(config=True)


# A class whose traits are the settings; `%config NL2SQL.<name>` finds them by inheritance.
_Options: Any = type(Configurable)(
    "_Options", (Configurable,), {item.name: _trait(item) for item in fields(Settings)}
)


@magics_class
class NL2SQL(Magics, _Options):  # type: ignore[misc]
    """Ask a database in plain English: `%%nl2sql`, `%nl2sql`, `%sqlcoder`."""

    @no_var_expand
    @line_cell_magic
    def nl2sql(self, line: str, cell: str | None = None) -> None:
        """Answer the question in the cell (or on the line): SQL into a new cell.

        Options: `%sqlcoder help`.
        """
        debug = "--debug" in line.split() or self.debug
        _guarded(lambda: self._nl2sql(line, cell), debug=debug)

    @no_var_expand
    @line_cell_magic
    def sqlcoder(self, line: str, cell: str | None = None) -> None:
        """connect, status, load, remember and more: `%sqlcoder help` explains.

        As a cell magic for what takes more than a line: `%%sqlcoder remember`, the SQL below it.
        """
        debug = "--debug" in line.split() or self.debug
        line = " ".join(word for word in line.split(" ") if word != "--debug")
        from sqlcoder_magic import commands

        text = line if cell is None else f"{line}\n{cell}"
        _guarded(lambda: commands.run(text, self.shell, self.settings()), debug=debug)

    def settings(self) -> Settings:
        """The traits as one frozen value."""
        return Settings(**{item.name: getattr(self, item.name) for item in fields(Settings)})

    def _nl2sql(self, line: str, cell: str | None) -> None:
        from sqlcoder_magic import commands

        if line.split()[:1] and line.split()[0] in commands.ASKS_FOR_HELP:
            commands.run("help", self.shell, self.settings())
            return
        options, rest = parse_line(line)
        if cell is not None and rest:
            raise OptionError(
                f"{rest.split()[0]!r} on the line of %%nl2sql is not an option.",
                fix="Options go on the line, the question into the cell below it. "
                "`%sqlcoder help` lists them.",
            )
        settings = self.settings().with_values(setting_values(options))
        into = options.get("into")
        if into is not None:
            _require_free_name(into)
            settings = replace(settings, run=True)
        question = cell if cell is not None else rest
        database, settings = commands.database_for(
            options.get("connection"), options.get("frames"), settings, self.shell
        )
        commands.answer(question, database, into, settings, self.shell)


def configured(shell: Any) -> NL2SQL:
    """The magics with the shell's configuration; a value that cannot be is left out, and said.

    `%config` keeps a refused value in the shell's configuration, and a profile may hold one.
    """
    wanted = dict(shell.config.get("NL2SQL", {}))
    clean = shell.config.copy()
    clean.pop("NL2SQL", None)
    magics = NL2SQL(shell=shell, config=clean)
    for name, value in wanted.items():
        try:
            if not magics.has_trait(name):
                raise TraitError("there is no such setting")
            setattr(magics, name, value)
        except TraitError as error:
            print(f"NL2SQL.{name} = {value!r} in the configuration was ignored: {error}")
    return magics


def keep_question_marks(lines: list[str]) -> list[str]:
    """The lines of a cell, each `%nl2sql How many sales?` made the call that it means.

    IPython takes a question mark at the end of a line for a request for help.
    """
    if lines and lines[0].startswith("%%"):
        return lines
    return [
        f"{asks[1]}get_ipython().run_line_magic('nl2sql', {asks[2]!r})\n"
        if (asks := _LINE_THAT_ASKS.fullmatch(line))
        else line
        for line in lines
    ]


def _require_free_name(name: str) -> None:
    """Refuse a name that is not one, or that Python or IPython needs."""
    taken = name in _NOTEBOOK_NAMES or hasattr(builtins, name) or name.startswith("_")
    if not name.isidentifier() or keyword.iskeyword(name) or taken:
        raise OptionError(
            f"The result cannot be called {name!r}.",
            fix="Use a variable name that is not Python's or IPython's own: -o sales_by_city.",
        )


def _guarded(work: Callable[[], None], *, debug: bool) -> None:
    """Run; let this package's errors out as sentences, with nothing secret chained to them."""
    try:
        work()
        return
    except KeyboardInterrupt:
        error: NL2SQLError = Stopped(
            "Stopped.", fix="Nothing was changed; ask again when you like."
        )
    except NL2SQLError as raised:
        error = raised
    error.prepare(debug=debug)
    raise error
