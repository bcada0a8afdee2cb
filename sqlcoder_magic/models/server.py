"""A model behind an OpenAI-compatible server: vLLM, llama.cpp, Ollama, TGI, `transformers serve`.

    open_model("http://host:8000/v1")        %sqlcoder load http://host:8000/v1 --name MODEL

The raw prompt goes to `/completions`, as a local model would read it: the question and the
schema's names and comments leave this machine (and values, where samples are switched on), rows
never. The answer streams; closing the stream stops the server's work. A key comes from
`SQLCODER_SERVER_KEY` or the keyring, is sent to this server alone and shown nowhere. A constraint
goes to vLLM and llama.cpp as a grammar (`served_grammar`); elsewhere it is refused. Not covered:
beams.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sqlcoder_magic.errors import (
    GenerationError,
    ModelLoadError,
    ModelNotFoundError,
    OptionError,
)
from sqlcoder_magic.models.base import OnText
from sqlcoder_magic.models.catalog import entry_for
from sqlcoder_magic.models.constrain import Constraint
from sqlcoder_magic.models.served_grammar import gbnf
from sqlcoder_magic.models.stops import cut_at_stop
from sqlcoder_magic.types import Draft, ModelSpec, Prompt

if TYPE_CHECKING:
    import httpx

KEY_VARIABLE = "SQLCODER_SERVER_KEY"
CONNECT_S = 10.0
SILENCE_S = 60.0  # without a byte from the server
TEMPERATURE = 0.7  # of samples
_PASSING = (408, 429, 500, 502, 503, 504)  # answers that a later try may not get
_TRIES = 4
_LONGEST_WAIT_S = 20.0
_MOST_BYTES = 64 * 2**20  # of one answer
_GRAMMAR_FIELDS = frozenset({"grammar", "guided_grammar", "structured_outputs"})
_KEY_FIX = f"Set {KEY_VARIABLE} in the environment before Jupyter starts."


def is_url(name: str) -> bool:
    """True if a model's name is a server's address."""
    return name.startswith(("http://", "https://"))


class _Again(Exception):
    """This try failed in a way that another may not; `wait_s` is the server's wish, or 0."""

    def __init__(self, why: str, wait_s: float = 0.0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class _EnoughError(Exception):
    """The time is up, or the answer too large to be one."""


class _NonsenseError(Exception):
    """The server's answer, which is none."""


class ServerModel:
    """A model that answers over HTTP. Thread safe; nothing is kept but the open connections."""

    def __init__(self, url: str, name: str = "", *, first_wait_s: float = 1.0) -> None:
        """`name` is what the server calls the model; it may be left out where there is one.

        Raises OptionError for an address that cannot be, ModelNotFoundError where no server
        answers or it has no such model.
        """
        self._url = _checked_url(url)
        self._first_wait_s = first_wait_s
        self._client = _client(self._url)
        try:
            name, listed = self._found(name)
        except ModelNotFoundError:
            self._client.close()
            raise
        self._software = str(listed.get("owned_by", ""))  # "vllm", "llamacpp", …
        entry, guess = entry_for(name)
        room = listed.get("max_model_len")  # vLLM's, which may have been started with less
        context = room if isinstance(room, int) and 0 < room < entry.context else entry.context
        sent = f"the question and the schema are sent to {urlsplit(self._url).hostname}; no rows."
        self.memory_bytes = 0
        self.spec = ModelSpec(
            name,
            "server",
            "as the server has it",
            self._url,
            template=entry.template,
            context=context,
            stops=entry.stops,
            reason=" ".join(filter(None, [sent, guess])),
        )

    def count_tokens(self, text: str) -> int:
        """An estimate on the safe side, three characters a token: the tokenizer is not here."""
        return math.ceil(len(text) / 3)

    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int,
        timeout_s: float,
        beams: int = 1,
        samples: int = 0,
        seed: int = 0,
        constraint: Constraint | None = None,
        on_text: OnText | None = None,
    ) -> Draft:
        """Ask, and stream the answer. Tried again while that can help and time is left.

        Raises GenerationError where the server hangs, fails or answers nonsense, and OptionError
        for `beams`, and for a `constraint` where the server is not known to decode under a
        grammar. KeyboardInterrupt closes the stream.
        """
        if beams > 1:
            raise OptionError(
                "A server writes with one beam here.", fix="Use --beams 1, or a local model."
            )
        body: dict[str, Any] = {
            "model": self.spec.name,
            "prompt": prompt.text,
            "max_tokens": max_new_tokens,
            "temperature": TEMPERATURE if samples else 0,
            "seed": seed,
        }
        if prompt.parts and prompt.parts[0].special:
            body["add_special_tokens"] = False  # the template brings its own BOS
        if constraint is not None:
            body |= self._held_to(constraint)
        began = time.monotonic()
        deadline = began + timeout_s
        wait = self._first_wait_s
        for number in range(1, _TRIES + 1):
            try:
                if samples:
                    return self._drawn(body, samples, began, deadline)
                return self._streamed(body, began, deadline, on_text)
            except _Again as error:
                pause = min(max(wait, error.wait_s), _LONGEST_WAIT_S)
                if number == _TRIES or time.monotonic() + pause > deadline:
                    raise GenerationError(
                        f"{self._url} gave no answer in {number} tries: {error}.",
                        fix="See whether the server is well, then ask again.",
                    ) from None
                time.sleep(pause)
                wait *= 2
            except _NonsenseError as error:
                raise GenerationError(
                    f"The server's answer cannot be read: {self._shown(str(error))[:100]!r}.",
                    fix="Check that the address is that of an OpenAI-compatible server (…/v1).",
                ) from None
        raise AssertionError("the last try returns or raises")

    def unload(self) -> None:
        """Close the connections."""
        self._client.close()

    def _held_to(self, constraint: Constraint) -> dict[str, Any]:
        """The field that makes this server decode under the constraint's grammar.

        Only for software that is known to take it: others refuse the field, or drop it unsaid.
        """
        if self._software == "llamacpp":
            return {"grammar": gbnf(constraint.catalog)}
        if self._software == "vllm":
            text = gbnf(constraint.catalog)
            old = self._is_old_vllm()
            return {"guided_grammar": text} if old else {"structured_outputs": {"grammar": text}}
        raise OptionError(
            f"--constrain needs a server that decodes under a grammar, and {self._url} does not "
            "say that it is vLLM or llama.cpp.",
            fix="Ask without --constrain; the guard judges the draft as ever.",
        )

    def _is_old_vllm(self) -> bool:
        """True if it has no `structured_outputs` yet, which came with 0.11."""
        import httpx

        try:
            answer = self._client.get(f"{self._url.removesuffix('/v1')}/version", timeout=CONNECT_S)
            known = re.match(r"0\.(\d+)\.\d", str(answer.json()["version"]))
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return False
        return known is not None and int(known[1]) < 11

    # ------------------------------------------------------------ one try

    def _streamed(
        self, body: dict[str, Any], began: float, deadline: float, on_text: OnText | None
    ) -> Draft:
        text, first, pieces, finished = "", 0.0, 0, False
        cut = True
        try:
            with self._post({**body, "stream": True}, deadline) as response:
                for event in _events(response, deadline):
                    if "error" in event:
                        raise self._reported(event["error"], held=_is_held(body))
                    choice = _choice(event)
                    if choice is None:
                        continue
                    first = first or time.monotonic() - began
                    pieces += 1
                    text += str(choice.get("text") or "")
                    shown, stopped = cut_at_stop(text, self.spec.stops)
                    if on_text:
                        on_text(shown)
                    if stopped or choice.get("finish_reason"):
                        cut = False
                        finished = stopped or choice["finish_reason"] != "length"
                        break
        except _EnoughError:
            cut = False
        if cut:
            raise _Again("the connection was cut in the middle of the answer")
        text, _ = cut_at_stop(text, self.spec.stops)
        seconds = time.monotonic() - began
        asked = self.count_tokens(body["prompt"])
        return Draft(text, self.spec.name, asked, pieces, seconds, first, finished=finished)

    def _drawn(self, body: dict[str, Any], count: int, began: float, deadline: float) -> Draft:
        """Several answers at once; those without log-probabilities come in the server's order."""
        try:
            with self._post({**body, "n": count, "logprobs": 1}, deadline) as response:
                raw = b"".join(_bytes(response, deadline)).decode("utf-8", "replace")
        except _EnoughError:
            raise GenerationError(
                f"The answer of {self._url} did not come to an end in time.",
                fix="See whether the server is well; generation_timeout_s sets the limit.",
            ) from None
        answer = _json(raw)
        choices = answer.get("choices") if isinstance(answer, dict) else None
        good = isinstance(choices, list) and all(isinstance(one, dict) for one in choices)
        if not choices or not good:
            raise _NonsenseError(raw)
        found: dict[str, float] = {}
        tokens = 0
        for choice in choices:
            text, stopped = cut_at_stop(str(choice.get("text") or ""), self.spec.stops)
            chances = _chances(choice)
            tokens = max(tokens, len(chances))
            if stopped or choice.get("finish_reason") != "length":
                found.setdefault(text, sum(chances))
        ranked = tuple(sorted(found.items(), key=lambda one: one[1], reverse=True))
        best = ranked[0] if ranked else (str(choices[0].get("text") or ""), 0.0)
        seconds = time.monotonic() - began
        asked = self.count_tokens(body["prompt"])
        draft = Draft(best[0], self.spec.name, asked, tokens, seconds, seconds, best[1])
        return replace(draft, finished=bool(ranked), candidates=ranked)

    @contextmanager
    def _post(self, body: dict[str, Any], deadline: float) -> Iterator[httpx.Response]:
        """The answer's stream, its status seen to."""
        import httpx

        left = max(deadline - time.monotonic(), 0.1)
        limit = httpx.Timeout(min(SILENCE_S, left), connect=min(CONNECT_S, left))
        try:
            with self._client.stream("POST", "/completions", json=body, timeout=limit) as response:
                if response.status_code != 200:
                    raise self._failure(response, held=_is_held(body))
                yield response
        except httpx.TimeoutException:
            raise GenerationError(
                f"{self._url} was silent for {limit.read:.0f} s.",
                fix="See whether the server is busy or hangs; generation_timeout_s sets the limit.",
            ) from None
        except httpx.TransportError as error:
            raise _Again(f"the connection failed ({type(error).__name__})") from None

    def _failure(self, response: httpx.Response, *, held: bool) -> Exception:
        """What a status other than 200 means."""
        status = response.status_code
        if status in _PASSING:
            wish = response.headers.get("retry-after", "")
            return _Again(f"it answered {status}", float(wish) if wish.isdigit() else 0.0)
        return self._refusal(status, _message(_beginning(response)), held=held)

    def _reported(self, error: Any, *, held: bool) -> Exception:
        """What an error in a stream means. vLLM answers 200 before it has read a grammar."""
        code = error.get("code") if isinstance(error, dict) else None
        message = _message(json.dumps({"error": error}))
        if isinstance(code, int) and 400 <= code < 500 and code not in _PASSING:
            return self._refusal(code, message, held=held)
        return _Again(f"it reported an error in its answer ({self._shown(message)[:100]})")

    def _refusal(self, status: int, message: str, *, held: bool) -> GenerationError:
        """A request that no second try makes better."""
        if status in (401, 403):
            return GenerationError(f"{self._wants_a_key()} ({status}).", fix=_KEY_FIX)
        grammar = " Without --constrain no grammar is sent." if held else ""
        return GenerationError(
            f"{self._url} refused the request ({status}): {self._shown(message)[:300]}",
            fix="A prompt that is too long gets shorter with --tables a,b." + grammar,
        )

    def _wants_a_key(self) -> str:
        sent = "authorization" in self._client.headers
        return f"{self._url} {'refuses the key that it was sent' if sent else 'wants a key'}"

    def _shown(self, text: str) -> str:
        """What the server wrote, on one line, without the key that it may have sent back."""
        key = self._client.headers.get("authorization", "").removeprefix("Bearer ")
        line = " ".join(text.split())
        return line.replace(key, "***") if key else line

    def _found(self, name: str) -> tuple[str, dict[str, Any]]:
        """(what the server calls the model, what it lists of it).

        Raises ModelNotFoundError where there is no such model.
        """
        served = self._served()
        if not name and len(served) == 1:
            name = next(iter(served))
        # `transformers serve` lists the hub's cache only, not the directory that it serves.
        if name not in served and (served or not name):
            raise ModelNotFoundError(
                f"{self._url} serves "
                f"{'no model called ' + name if name else 'several models' if served else 'none'}.",
                fix=f"It lists: {', '.join(list(served)[:20]) or 'nothing'}. "
                "%sqlcoder load URL --name MODEL",
            )
        return name, served.get(name, {})

    def _served(self) -> dict[str, dict[str, Any]]:
        """What the server lists of its models, by their names."""
        import httpx

        try:
            response = self._client.get("/models", timeout=CONNECT_S)
        except httpx.HTTPError as error:
            raise ModelNotFoundError(
                f"No server answers at {self._url} ({type(error).__name__}).",
                fix="Check the address (it often ends in /v1) and that the server is up.",
            ) from None
        if response.status_code in (401, 403):
            raise ModelNotFoundError(f"{self._wants_a_key()}.", fix=_KEY_FIX)
        try:
            listed = response.json()["data"]
            return {str(one["id"]): dict(one) for one in listed}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ModelNotFoundError(
                f"What answers at {self._url} is no OpenAI-compatible server.",
                fix="Check the address: it often ends in /v1.",
            ) from None


def _checked_url(url: str) -> str:
    """The address. Raises OptionError, in whose text it never stands: it may hold a secret."""
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        good = False
    if not good:
        raise OptionError("The server's address is no address.", fix="Write http://host:8000/v1.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise OptionError(
            "The server's address holds a secret.",
            fix=f"Write http://host:8000/v1, and set {KEY_VARIABLE} in the environment.",
        )
    return url.rstrip("/")


def _client(url: str) -> httpx.Client:
    try:
        import httpx
    except ModuleNotFoundError:
        raise ModelLoadError(
            "A model on a server needs httpx, which is not installed.",
            fix='Install it: pip install "sqlcoder-magic[server]"',
        ) from None

    key = _key(urlsplit(url).hostname or "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    # Redirects are not followed: the key and the schema go to this host alone.
    return httpx.Client(base_url=url, headers=headers, follow_redirects=False)


def _key(host: str) -> str:
    """The key: from the environment, else from the keyring, if that is installed."""
    found = os.environ.get(KEY_VARIABLE, "")
    if not found and find_spec("keyring") is not None:
        from importlib import import_module

        found = import_module("keyring").get_password("sqlcoder-magic", host) or ""
    return found


def _bytes(response: httpx.Response, deadline: float) -> Iterator[bytes]:
    """What arrives. Raises _EnoughError: a server that drips, or never ends, is never silent."""
    size = 0
    for part in response.iter_bytes():
        size += len(part)
        if time.monotonic() > deadline or size > _MOST_BYTES:
            raise _EnoughError
        yield part


def _beginning(response: httpx.Response) -> str:
    """Of an error's text, which may have no end."""
    return next(response.iter_bytes(4096), b"").decode("utf-8", "replace")


def _lines(response: httpx.Response, deadline: float) -> Iterator[str]:
    """Whole lines of UTF-8."""
    rest = b""
    for part in _bytes(response, deadline):
        *whole, rest = (rest + part).split(b"\n")
        yield from (line.decode("utf-8", "replace").rstrip("\r") for line in whole)
    yield rest.decode("utf-8", "replace")


def _events(response: httpx.Response, deadline: float) -> Iterator[dict[str, Any]]:
    """The JSON values of a stream of server-sent events."""
    for line in _lines(response, deadline):
        if not line or line.startswith((":", "event:", "id:")):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        event = _json(data)
        if not isinstance(event, dict):
            raise _NonsenseError(data)
        yield event


def _choice(event: dict[str, Any]) -> dict[str, Any] | None:
    """The first choice of an event; None for one that carries none (a count of tokens)."""
    choices = event.get("choices")
    if not isinstance(choices, list):
        raise _NonsenseError(json.dumps(event))
    return choices[0] if choices and isinstance(choices[0], dict) else None


def _is_held(body: dict[str, Any]) -> bool:
    return bool(body.keys() & _GRAMMAR_FIELDS)


def _message(text: str) -> str:
    """What an error's JSON says in words, as OpenAI, vLLM or FastAPI write it; else the text."""
    try:
        said = json.loads(text)
    except ValueError:
        return text
    for key in ("error", "message", "detail"):
        if isinstance(said, dict) and said.get(key):
            said = said[key]
    return said if isinstance(said, str) else text


def _chances(choice: dict[str, Any]) -> list[float]:
    """The log-probabilities of its tokens; the first may have none."""
    said = choice.get("logprobs")
    chances = said.get("token_logprobs") if isinstance(said, dict) else None
    listed = chances if isinstance(chances, list) else []
    return [float(one) if isinstance(one, int | float) else 0.0 for one in listed]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise _NonsenseError(text) from None
