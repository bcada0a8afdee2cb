"""Ask a database in plain English from a notebook cell.

    %load_ext sqlcoder_magic
    %sqlcoder connect sample

    %%nl2sql --run
    How many sales were there in each year?

Importing this, or `%load_ext`, imports nothing heavy: torch, transformers, pandas and numpy wait
for the first question. The public names below are loaded when they are first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Answer": "types",
    "CheckedSQL": "types",
    "Column": "types",
    "Draft": "types",
    "ForeignKey": "types",
    "ModelSpec": "types",
    "Plan": "types",
    "Prompt": "types",
    "Question": "types",
    "Schema": "types",
    "Table": "types",
    "Template": "types",
    "NL2SQLError": "errors",
    "SQLRejected": "errors",
    "Settings": "settings",
    "Memory": "memory",
    "FakeModel": "models",
    "Model": "models",
    "open_model": "models",
    "register_model": "models",
    "use_model": "models",
    "read_schema": "schema",
    "select_tables": "schema",
    "build_prompt": "prompt",
    "extract_sql": "check",
    "check_sql": "check",
    "run_sql": "execute",
    "explain_sql": "execute",
    "ask": "pipeline",
}
__all__ = ["__version__", "load_ipython_extension", "unload_ipython_extension", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(shell: Any) -> None:
    """Register the magics; `%load_ext sqlcoder_magic` calls this."""
    from sqlcoder_magic.magics import configured, keep_question_marks

    unload_ipython_extension(shell)
    magics = configured(shell)
    shell.register_magics(magics)
    if magics not in shell.configurables:
        shell.configurables.append(magics)
    shell.input_transformers_cleanup.append(keep_question_marks)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away. The model stays loaded, so that `%reload_ext` costs nothing."""
    for name in ("nl2sql", "sqlcoder"):
        for kind in ("line", "cell"):
            shell.magics_manager.magics[kind].pop(name, None)
    # By name: after a reload of the package the class and the function are others.
    shell.configurables[:] = [
        known for known in shell.configurables if type(known).__name__ != "NL2SQL"
    ]
    shell.input_transformers_cleanup[:] = [
        known
        for known in shell.input_transformers_cleanup
        if getattr(known, "__name__", "") != "keep_question_marks"
    ]
