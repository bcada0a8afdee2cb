"""Every error this package raises on purpose, each a sentence a person can act on.

    NL2SQLError                  what happened, and `fix`: what to do about it
    ├── OptionError              an option, setting or variable name that cannot be used
    ├── QuestionError            nothing to answer: the question is empty
    ├── MemoryFileError      the file of what was remembered cannot be used, or must not hold this
    ├── DatabaseConnectionError         the database cannot be reached
    │   ├── NoConnectionError    nobody has connected to a database yet
    │   └── LostConnectionError  it was reached once, and is gone
    ├── SchemaError              the schema cannot be read, or has no tables
    ├── ModelError               the model cannot be used
    │   ├── ModelNotFoundError   no such directory, or no weights in it
    │   ├── ModelLoadError       the weights are there and cannot be loaded
    │   ├── MemoryShortError     the model needs more memory than is free
    │   └── GenerationError      the model ran, and there is no usable draft
    │       ├── PromptTooLongError   the prompt does not fit the model's context
    │       └── NoSQLError       the draft holds no single clear SQL statement
    ├── SQLRejected              the guard refused the SQL: `rule`, `line`, `column`
    ├── RunError                 the checked SQL was sent, and did not return rows
    │   ├── EngineNotGuardedError    nothing was sent: no guard for this engine
    │   ├── TooCostlyError       nothing was run: the estimate is above the limit
    │   ├── UnsureError          nothing was run: the confidence is below the limit
    │   └── QueryTimeoutError    stopped at the time limit
    └── Stopped                  the user pressed Ctrl-C (or "interrupt the kernel")

In a notebook an error shows as its sentence, without a traceback (`_render_traceback_`,
which IPython looks for); `--debug` shows everything. Not covered here: defects of this
package, which stay ordinary exceptions, and hiding passwords, which
`redaction.redact` does before a text gets into an error.
"""

from __future__ import annotations

import re
import traceback

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Control and bidirectional characters spelled out, so that they do nothing when shown.

    Tabs and newlines stay. For text from a model, a database or a driver.
    """
    return _CONTROL.sub(
        lambda match: match.group().encode("unicode_escape", "surrogatepass").decode(), text
    )


class NL2SQLError(Exception):
    """What happened (`message`) and how to mend it (`fix`, may be empty)."""

    def __init__(self, message: str, *, fix: str = "") -> None:
        self.message = message
        self.fix = fix
        self._traceback: list[str] = []
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message}\n{self.fix}" if self.fix else self.message

    def prepare(self, *, debug: bool) -> None:
        """Make ready to leave the package: keep the traceback's text if it is wanted, and cut
        the chain of driver errors, which may hold what `message` does not.
        """
        if debug:
            self._traceback = traceback.format_exception(self)
        self.__cause__ = self.__context__ = None

    def _render_traceback_(self) -> list[str]:
        """Lines that IPython prints in place of a traceback."""
        text = "".join(self._traceback) + str(self)
        return visible(text).split("\n")


class OptionError(NL2SQLError):
    """An option, setting or variable name that cannot be used."""


class QuestionError(NL2SQLError):
    """Nothing to answer: the question is empty."""


class MemoryFileError(NL2SQLError):
    """The file of what was remembered cannot be used, or must not hold this."""


class DatabaseConnectionError(NL2SQLError):
    """The database cannot be reached."""


class NoConnectionError(DatabaseConnectionError):
    """Nobody has connected to a database yet."""


class LostConnectionError(DatabaseConnectionError):
    """The database was reached once, and is gone."""


class SchemaError(NL2SQLError):
    """The schema cannot be read, or has no tables."""


class ModelError(NL2SQLError):
    """The model cannot be used."""


class ModelNotFoundError(ModelError):
    """No such directory, or no weights in it."""


class ModelLoadError(ModelError):
    """The weights are there and cannot be loaded."""


class MemoryShortError(ModelError):
    """The model needs more memory than is free."""


class GenerationError(ModelError):
    """The model ran, and there is no usable draft. `text` is what it wrote."""

    def __init__(self, message: str, *, fix: str = "", text: str = "") -> None:
        super().__init__(message, fix=fix)
        self.text = text


class PromptTooLongError(GenerationError):
    """The prompt does not fit the model's context."""


class NoSQLError(GenerationError):
    """The draft holds no single clear SQL statement."""


class SQLRejected(NL2SQLError):
    """The guard refused the SQL.

    `rule` is the name of the pass that refused; `line` and `column` count from 1 and
    are 0 where the refusal has no single spot; `sql` is the text that was refused.
    """

    def __init__(
        self,
        message: str,
        *,
        rule: str,
        fix: str = "",
        sql: str = "",
        line: int = 0,
        column: int = 0,
    ) -> None:
        super().__init__(message, fix=fix)
        self.rule = rule
        self.sql = sql
        self.line = line
        self.column = column


class RunError(NL2SQLError):
    """The checked SQL was sent, and did not return rows."""


class EngineNotGuardedError(RunError):
    """Nothing was sent: this engine has no guard yet, so the SQL is only shown."""


class TooCostlyError(RunError):
    """Nothing was run: what the engine expects it to cost is above the limit."""


class UnsureError(RunError):
    """Nothing was run: the answer's confidence is below what the user wants."""


class QueryTimeoutError(RunError):
    """The query was stopped at the time limit."""


class Stopped(NL2SQLError):
    """The user pressed Ctrl-C (or "interrupt the kernel")."""
