"""Hunt for a text that `check_sql` lets through and that does harm, or that makes it crash.

    python benchmarks/fuzz_check.py --engine postgres --seconds 300 --seed 1 [--seeds FILE]
    python benchmarks/fuzz_check.py --atheris --seconds 600 [libFuzzer's options]

The first grows statements from the corpora (`tests/check/check_mutations.py`) and, with `--seeds`,
from the lines of a file of SQL; whatever the check accepts is run without any guard on a throwaway
engine, whose whole content is hashed before and after. The second lets atheris (`pip install
atheris`), which follows the coverage of the check's own code, look for anything but an answer or
a `SQLRejected`. Prints every find, and exits with 1 if there is one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).absolute().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "check")]

from check_mutations import bad, good, mutant  # noqa: E402
from check_shop import DIALECTS, shop  # noqa: E402

from sqlcoder_magic.check import check_sql  # noqa: E402
from sqlcoder_magic.errors import NoSQLError, SQLRejected  # noqa: E402

BATCH = 200


def accepted(sql: str, schema: Any) -> bool:
    """Whether the check lets it through. Anything it raises but SQLRejected is a find."""
    try:
        return check_sql(sql, schema).sql == sql
    except SQLRejected:
        return False


def hunt(engine: str, seconds: float, seed: int, seeds: list[str]) -> int:
    """Grow, check, run; print what does harm. Gives the number of finds."""
    from playground import ENGINES

    random, finds, grown, run = Random(seed), 0, 0, set[str]()
    deadline = time.monotonic() + seconds
    with ENGINES[engine]() as play:
        schema = shop(play.dialect)
        while time.monotonic() < deadline:
            batch: list[str] = []
            for _ in range(BATCH):
                sql = mutant(play.dialect, random, seeds)
                grown += 1
                try:
                    if sql not in run and accepted(sql, schema):
                        batch.append(sql)
                except Exception as error:  # noqa: BLE001 (a crash is what is looked for)
                    finds += 1
                    print(f"CRASH {error!r}: {sql!r}", flush=True)
            run.update(batch)
            for sql in play.harmful(batch):
                finds += 1
                print(f"HARM {sql!r}", flush=True)
    print(f"{engine}: {grown} grown, {len(run)} different ones accepted and run, {finds} finds")
    return finds


def with_atheris(seconds: float, more: list[str]) -> None:
    """Coverage-guided bytes; never returns: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["sqlcoder_magic.check"]):
        for name in [n for n in sys.modules if n.startswith("sqlcoder_magic.check")]:
            del sys.modules[name]
        from sqlcoder_magic.check import check_sql, extract_sql, is_refusal, translate
    schemas = [shop(dialect) for dialect in DIALECTS]

    def one(data: bytes) -> None:
        dialect = data[:1][0] % len(DIALECTS) if data else 0
        text = data[1:].decode("utf-8", "surrogateescape")
        is_refusal(text)
        with suppress(NoSQLError):
            translate(extract_sql(text), write=DIALECTS[dialect])
        try:
            check_sql(text, schemas[dialect])
        except SQLRejected as error:
            assert error.sql == text

    options = [f"-max_total_time={seconds:.0f}", "-max_len=400", "-close_fd_mask=1"]
    atheris.Setup([sys.argv[0], *options, *more, str(_seeds())], one)
    atheris.Fuzz()


def _seeds() -> Path:
    """A directory with both corpora, a statement a file, for atheris to start from."""
    directory = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for number, dialect in enumerate(DIALECTS):
        for count, sql in enumerate((*good(dialect), *bad(dialect))):
            text = bytes([number]) + sql.encode("utf-8", "surrogateescape")
            (directory / f"{dialect}-{count}").write_bytes(text)
    return directory


def main() -> None:
    """Read the options, hunt."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", default="sqlite")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=Path, help="a file with a statement a line")
    parser.add_argument("--atheris", action="store_true")
    options, more = parser.parse_known_args()
    if options.atheris:
        with_atheris(options.seconds, more)
    seeds: list[str] = []
    if options.seeds is not None:
        seeds = [line for line in options.seeds.read_text("utf-8").splitlines() if line.strip()]
    sys.exit(1 if hunt(options.engine, options.seconds, options.seed, seeds) else 0)


if __name__ == "__main__":
    main()
