"""No password gets out: `redact` for any text, `public_url` for a URL that people see.

Knows the spellings that SQLAlchemy, ODBC and cloud drivers take a secret in (the URL's password,
query parameters, `odbc_connect`, `connect_args`, a `creator`) and those in which drivers print them
back. Not covered: what a user types into a cell, which the notebook keeps; a password that a
`creator` of theirs fetches anew at each call and that a driver then repeats without a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote_plus

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_SECRET_KEY = (
    r"[\w.-]*(?:password|passwd|pwd|secret|token|api[_-]?key|private[_-]?key|passphrase)[\w.-]*"
)
_SECRETS = (
    # scheme://user:password@host; the password may hold anything up to the last '@'
    re.compile(r"(\w[\w+.-]*://[^\s/:@]*:)[^\s]*(?=@)"),
    re.compile(
        rf"((?:\b|_)(?:{_SECRET_KEY})\s*(?:=|%3D)\s*)('[^']*'|\{{[^}}]*\}}|[^\s&;,)'\"]+)", re.I
    ),
)


def redact(text: str, url: URL | None = None, more: Iterable[str] = ()) -> str:
    """`text` with every password, token and key replaced by `***`.

    With `url`, its own secrets and `more` are replaced literally first, in the spellings that
    drivers print.
    """
    known = _spellings({*more, *(_secrets_of(url) if url is not None else ())})
    for secret in known:
        text = text.replace(secret, "***")
    for pattern in _SECRETS:
        text = pattern.sub(r"\1***", text)
    return text


def public_url(url: URL) -> str:
    """The URL without anything secret in it, for people."""
    shown = redact(url.render_as_string(hide_password=True), url)
    return shown.replace("%3Amemory%3A", ":memory:")


def kept_secrets(function: Any) -> frozenset[str]:
    """What a function that opens connections keeps under a secret's name.

    SQLAlchemy's own keeps `connect_args`; a user's `creator` may keep one in its closure, among
    its globals or in a partial's keywords.
    """
    kept: dict[str, Any] = dict(getattr(function, "keywords", None) or {})
    code = getattr(function, "__code__", None)
    if code is not None:
        cells = function.__closure__ or ()
        for name, cell in zip(code.co_freevars, cells, strict=True):
            with suppress(ValueError):  # not filled yet
                kept[name] = cell.cell_contents
        spaces = function.__globals__
        kept |= {name: spaces[name] for name in code.co_names if name in spaces}
    found: set[str] = set()
    for name, value in kept.items():
        for key, inner in value.items() if isinstance(value, dict) else ((name, value),):
            if isinstance(inner, bytes):
                inner = inner.decode(errors="replace")
            secret = re.fullmatch(rf"{_SECRET_KEY}|pw|pass", str(key), re.I)
            if isinstance(inner, str) and secret:
                found.add(inner)
    return frozenset(found)


def _secrets_of(url: URL) -> set[str]:
    """Every secret in the URL, decoded."""
    found: set[str] = set()
    if url.password:
        found.add(str(url.password))
    for key, value in url.query.items():
        for one in (value,) if isinstance(value, str) else value:
            if re.fullmatch(_SECRET_KEY, key, re.I):
                found.add(one)
            for match in re.finditer(rf"{_SECRET_KEY}\s*=\s*([^;]+)", unquote_plus(one), re.I):
                found.add(match.group(1).strip("{} "))
    # An un-encoded '@' or '/' in a password ends up in the host: 'p@ss' -> host 'ss@db'.
    if url.host and "@" in url.host:
        found.add(url.host.rsplit("@", 1)[0])
    return found


def _spellings(secrets: set[str]) -> list[str]:
    """As they are and as a URL spells them, longest first."""
    found = secrets | {quote(secret, safe="") for secret in secrets}
    found |= {quote_plus(secret) for secret in secrets}
    return sorted((secret for secret in found if secret), key=len, reverse=True)
