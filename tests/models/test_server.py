"""A server's answers and its faults, over loopback: each fault is a sentence, or a second try."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sqlcoder_magic.errors import GenerationError, ModelNotFoundError, OptionError
from sqlcoder_magic.models import Constraint, open_model
from sqlcoder_magic.models.served_grammar import gbnf
from sqlcoder_magic.models.server import KEY_VARIABLE, ServerModel
from sqlcoder_magic.pipeline import ask as pipeline_ask
from sqlcoder_magic.settings import Settings
from sqlcoder_magic.types import Column, Draft, Prompt, PromptPart, Schema, Table

SECRET = "k-7Zq1-not-to-be-shown"
Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Plays the answers of its server's list in order, the last one again and again."""

    server: Recording

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        self.server.seen.append(("GET", self.path, dict(self.headers), {}))
        if self.path == "/version":
            self.reply(*self.server.version)
            return
        if self.server.listing:
            self.server.listing(self)
            return
        owner = {"owned_by": self.server.owner} if self.server.owner else {}
        self.reply(200, {"data": [{"id": name, **owner} for name in self.server.names]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append(("POST", self.path, dict(self.headers), body))
        answers = self.server.answers
        try:
            (answers.pop(0) if len(answers) > 1 else answers[0])(self)
        except (BrokenPipeError, ConnectionResetError):
            self.server.closed.set()

    def reply(self, status: int, value: Any, **headers: str) -> None:
        raw = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(raw)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(raw)

    def stream(self, *lines: str) -> None:
        self.send_response(200)
        self.end_headers()
        for line in lines:
            self.wfile.write(f"data: {line}\n\n".encode())
            self.wfile.flush()


class Recording(ThreadingHTTPServer):
    """A server that remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str, dict[str, str], dict[str, Any]]] = []
        self.answers: list[Answer] = [right]
        self.names = ["defog/sqlcoder-7b-2"]
        self.owner = ""  # what it calls itself
        self.version: tuple[int, Any] = (404, {})
        self.listing: Answer | None = None  # in place of the list of its models
        self.closed = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [body for method, _, _, body in self.seen if method == "POST"]


def piece(text: str, reason: str | None = None) -> str:
    return json.dumps({"choices": [{"text": text, "finish_reason": reason}]})


def right(handler: Handler) -> None:
    handler.stream(piece("SELECT ';' "), piece("AS a; more"), piece("", "stop"), "[DONE]")


def status(code: int, **headers: str) -> Answer:
    return lambda handler: handler.reply(code, {"error": "x"}, **headers)


@pytest.fixture
def server() -> Iterator[Recording]:
    recording = Recording()
    thread = threading.Thread(target=recording.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield recording
    recording.shutdown()
    recording.server_close()
    thread.join()


@pytest.fixture
def model(server: Recording) -> Iterator[ServerModel]:
    model = ServerModel(server.url, first_wait_s=0.01)
    yield model
    model.unload()


SCHEMA = Schema("sqlite", (Table("sales", "", (Column("price", "INT", nullable=True),), (), ()),))
HELD = Constraint.of(SCHEMA, lambda name: name)


def ask(model: ServerModel, **options: Any) -> Draft:
    given = {"max_new_tokens": 50, "timeout_s": 20.0, **options}
    return model.generate(Prompt("schema and question", (), 0, ()), **given)


def test_an_answer_streams_and_ends_at_the_stop(server: Recording, model: ServerModel) -> None:
    heard: list[str] = []
    draft = ask(model, on_text=heard.append)
    assert (draft.text, draft.finished) == ("SELECT ';' AS a", True)
    assert heard == ["SELECT ';' ", "SELECT ';' AS a"]
    (body,) = server.asked
    assert body["prompt"] == "schema and question" and body["stream"] is True
    assert (body["temperature"], body["max_tokens"]) == (0, 50)
    assert "127.0.0.1" in model.spec.reason and "no rows" in model.spec.reason


def test_a_template_with_its_own_bos_gets_no_second_one(
    server: Recording, model: ServerModel
) -> None:
    parts = (PromptPart("<|begin_of_text|>", special=True), PromptPart("x"))
    model.generate(Prompt("<|begin_of_text|>x", (), 0, parts), max_new_tokens=5, timeout_s=20)
    assert server.asked[0]["add_special_tokens"] is False


def test_samples_come_sorted(server: Recording, model: ServerModel) -> None:
    def several(handler: Handler) -> None:
        texts = (("SELECT 1;", -3.0), ("SELECT 2;", -1.0), ("SELECT 2; x", -2.0))
        handler.reply(
            200,
            {
                "choices": [
                    {"text": t, "finish_reason": "stop", "logprobs": {"token_logprobs": [None, p]}}
                    for t, p in texts
                ]
            },
        )

    server.answers = [several]
    draft = ask(model, samples=3, seed=5)
    assert draft.candidates == (("SELECT 2", -1.0), ("SELECT 1", -3.0))
    assert (draft.text, draft.logprob) == ("SELECT 2", -1.0)
    assert (server.asked[0]["n"], server.asked[0]["seed"]) == (3, 5)


@pytest.mark.parametrize(
    ("owner", "version", "field"),
    [
        ("llamacpp", (404, {}), "grammar"),
        ("vllm", (200, {"version": "0.23.1"}), "structured_outputs"),
        ("vllm", (200, {"version": "0.11.0"}), "structured_outputs"),
        ("vllm", (200, {"version": "0.10.2"}), "guided_grammar"),
        ("vllm", (200, {"version": "0.1.dev1+g9c5b2a1"}), "structured_outputs"),
        ("vllm", (404, {}), "structured_outputs"),
        ("vllm", (200, ["?"]), "structured_outputs"),
    ],
)
def test_a_constraint_is_sent_as_the_server_takes_it(
    server: Recording, owner: str, version: tuple[int, Any], field: str
) -> None:
    server.owner, server.version = owner, version
    model = ServerModel(server.url)
    assert ask(model, constraint=HELD).text == "SELECT ';' AS a"
    ask(model)
    held, free = server.asked
    text = gbnf(HELD.catalog)
    assert held.pop(field) == ({"grammar": text} if field == "structured_outputs" else text)
    assert held == free  # nothing else differs
    server.answers = [drawn({"text": "SELECT price FROM sales;"})]
    ask(model, constraint=HELD, samples=2)
    assert field in server.asked[-1]
    model.unload()


@pytest.mark.parametrize("owner", ["library", "", "defog", "openai", None, 7])
def test_a_constraint_where_no_grammar_is_taken_is_a_sentence(
    server: Recording, owner: Any
) -> None:
    """Ollama (which calls its models `library`), TGI, `transformers serve`, a proxy."""
    server.owner = owner
    model = ServerModel(server.url)
    with pytest.raises(OptionError, match="decodes under a grammar") as caught:
        ask(model, constraint=HELD)
    assert "without --constrain" in caught.value.fix and server.asked == []
    assert ask(model).finished
    model.unload()


def test_a_grammar_that_is_refused_is_a_sentence(server: Recording) -> None:
    server.owner = "llamacpp"
    model = ServerModel(server.url)
    server.answers = [lambda handler: handler.reply(400, {"error": "failed to parse grammar"})]
    with pytest.raises(GenerationError, match=r"\(400\).*failed to parse grammar") as caught:
        ask(model, constraint=HELD)
    assert "--constrain" in caught.value.fix
    with pytest.raises(GenerationError) as caught:
        ask(model)
    assert "--constrain" not in caught.value.fix
    model.unload()


def test_a_refusal_in_the_stream_is_a_sentence(server: Recording, model: ServerModel) -> None:
    """vLLM 0.32 begins its answer with 200, and then says that it cannot read the grammar."""
    server.owner = "vllm"
    model = ServerModel(server.url)
    error = {"message": "Invalid grammar specification: nosuch", "type": "B", "code": 400}
    server.answers = [lambda handler: handler.stream(json.dumps({"error": error}))]
    with pytest.raises(GenerationError, match=r"\(400\): Invalid grammar specif") as caught:
        ask(model, constraint=HELD)
    assert "--constrain" in caught.value.fix and len(server.asked) == 1
    error["code"] = 503
    with pytest.raises(GenerationError, match=r"4 tries: it reported an error .*nosuch"):
        ask(model, timeout_s=60)
    assert len(server.asked) == 5
    model.unload()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "Too long: 4097 tokens", "code": 400}}, "Too long: 4097 tokens"),
        ({"error": "Too long"}, "Too long"),
        ({"message": "Too long", "object": "error"}, "Too long"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["body"]}]}, '{"detail": [{"loc": ["body"]}]}'),
        ([1, 2], "[1, 2]"),
    ],
)
def test_a_refusal_is_told_in_the_words_of_the_server(
    server: Recording, model: ServerModel, body: Any, said: str
) -> None:
    server.answers = [lambda handler: handler.reply(400, body)]
    with pytest.raises(GenerationError) as caught:
        ask(model)
    assert f"refused the request (400): {said}\n" in str(caught.value)


@pytest.mark.parametrize(
    ("listed", "context"), [(3000, 3000), (9**9, 0), (None, 0), ("x", 0), (0, 0)]
)
def test_a_server_says_that_it_reads_less(server: Recording, listed: Any, context: int) -> None:
    plain = ServerModel(server.url)
    server.listing = lambda handler: handler.reply(
        200, {"data": [{"id": server.names[0], "max_model_len": listed}]}
    )
    model = ServerModel(server.url)
    assert model.spec.context == (context or plain.spec.context)
    for one in (plain, model):
        one.unload()


def test_a_better_answer_is_looked_for_among_samples(server: Recording, model: ServerModel) -> None:
    """A server has no beams, with which a local model would begin."""
    first = "SELECT name FROM products;"
    server.answers = [
        lambda handler: handler.stream(piece(first), "[DONE]"),
        drawn({"text": first}, {"text": "SELECT name FROM customers;"}),
    ]
    settings = Settings(effort="normal", constrain=False)
    answer = pipeline_ask("Which names are there?", "sample", model, settings=settings)
    assert answer.sql == "SELECT name FROM products" and answer.error is None
    assert [body.get("n") for body in server.asked][:2] == [None, 4]


def test_a_constraint_needs_nothing_installed_here(
    server: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqlcoder_magic.drafting.can_constrain", lambda: False)
    server.owner = "llamacpp"
    model = ServerModel(server.url)
    server.answers = [lambda handler: handler.stream(piece("SELECT name FROM products;"))]
    answer = pipeline_ask("Names?", "sample", model, settings=Settings(constrain=True))
    assert answer.sql == "SELECT name FROM products"
    assert "products" in server.asked[0]["grammar"]
    model.unload()


@pytest.mark.parametrize(
    "fault",
    [
        status(429, retry_after="0"),
        status(500),
        status(503),
        lambda handler: handler.stream(piece("SELECT 9")),  # cut before the end
        lambda handler: handler.stream(json.dumps({"error": {"message": "overloaded"}})),
        lambda handler: handler.connection.close(),
    ],
    ids=["429", "500", "503", "cut", "error", "closed"],
)
def test_a_passing_fault_is_tried_again(
    server: Recording, model: ServerModel, fault: Answer
) -> None:
    server.answers = [fault, fault, right]
    assert ask(model).text == "SELECT ';' AS a"
    assert len(server.asked) == 3


def test_a_lasting_fault_is_a_sentence(server: Recording, model: ServerModel) -> None:
    server.answers = [status(500)]
    with pytest.raises(GenerationError, match=r"no answer in 4 tries: it answered 500"):
        ask(model)
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    "garbage",
    [
        lambda handler: handler.stream("{not json"),
        lambda handler: handler.stream("[1, 2]"),
        lambda handler: handler.stream('{"object": "x"}'),
        lambda handler: handler.stream("\x00\x01<html>"),
    ],
)
def test_garbage_is_a_sentence(server: Recording, model: ServerModel, garbage: Answer) -> None:
    server.answers = [garbage]
    with pytest.raises(GenerationError, match="cannot be read"):
        ask(model)
    assert len(server.asked) == 1


def test_a_server_that_hangs_is_left(server: Recording, model: ServerModel) -> None:
    released = threading.Event()
    server.answers = [lambda handler: released.wait(30) and None]
    with pytest.raises(GenerationError, match="was silent"):
        ask(model, timeout_s=0.3)
    released.set()


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(f"data: {piece('x ')}\n\n".encode())
        time.sleep(0.005)


def test_an_answer_without_end_is_cut_at_the_time_limit(
    server: Recording, model: ServerModel
) -> None:
    server.answers = [endless]
    draft = ask(model, timeout_s=0.3)
    assert not draft.finished and draft.text.startswith("x x")
    assert server.closed.wait(20)


def dripping(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b": keep-alive\n\n")
        time.sleep(0.005)


def test_a_server_that_only_drips_is_left_at_the_time_limit(
    server: Recording, model: ServerModel
) -> None:
    server.answers = [dripping]
    draft = ask(model, timeout_s=0.3)
    assert not draft.finished and draft.text == ""
    with pytest.raises(GenerationError, match="did not come to an end"):
        ask(model, timeout_s=0.3, samples=2)
    assert server.closed.wait(20)


def drawn(*choices: Any) -> Answer:
    return lambda handler: handler.reply(200, {"choices": list(choices)})


def test_samples_that_are_none_are_a_sentence(server: Recording, model: ServerModel) -> None:
    server.answers = [drawn(1, "x")]
    with pytest.raises(GenerationError, match="cannot be read"):
        ask(model, samples=2)
    server.answers = [drawn({"text": "a", "logprobs": [1]}, {"text": "b", "logprobs": "x"})]
    assert ask(model, samples=2).candidates == (("a", 0.0), ("b", 0.0))


def test_an_interrupt_closes_the_stream(server: Recording, model: ServerModel) -> None:
    server.answers = [endless, right]

    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(model, on_text=interrupt)
    assert server.closed.wait(20)
    assert ask(model).finished


def slow(handler: Handler) -> None:
    """A token, and the next one when nobody waits any more."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(f"data: {piece('SELECT')}\n\n".encode())
    handler.server.closed.wait(30)
    handler.wfile.write(f"data: {piece(' 1')}\n\n".encode())


@pytest.mark.parametrize("waiting", ["for the first token", "for the next", "to try again"])
def test_ctrl_c_is_heard_while_the_server_says_nothing(
    server: Recording, model: ServerModel, waiting: str
) -> None:
    silent = {
        "for the first token": lambda handler: handler.server.closed.wait(30),
        "for the next": slow,
        "to try again": status(503, retry_after="20"),
    }
    server.answers = [silent[waiting]]
    signals = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    if hasattr(signal, "pthread_kill"):  # as a kernel is interrupted: the main thread hears it
        main = threading.main_thread().ident
        signals = threading.Timer(0.5, signal.pthread_kill, [main, signal.SIGINT])
    signals.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ask(model, timeout_s=60)
    assert time.monotonic() - began < 10
    server.closed.set()
    server.answers = [right]
    assert ask(model).finished


def test_a_slow_answer_is_waited_for(server: Recording, model: ServerModel) -> None:
    """Pauses between tokens are no fault; the time to the first is told."""

    def patient(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for text in ("SELECT", " 1", ";"):
            time.sleep(0.3)
            handler.wfile.write(f"data: {piece(text)}\n\n".encode())

    server.answers = [patient]
    draft = ask(model)
    assert (draft.text, draft.finished, draft.new_tokens) == ("SELECT 1", True, 3)
    assert 0.3 <= draft.first_token_s < draft.seconds - 0.3


@pytest.mark.parametrize(
    ("pieces", "text", "finished"),
    [
        (["SELECT 1;", " DROP"], "SELECT 1", True),
        (["SELECT ';", "' AS a;"], "SELECT ';' AS a", True),
        (["SELECT 1\n`", "``\nso"], "SELECT 1\n", True),
        (["SELECT 1", "[/SQL] and"], "SELECT 1", True),
        (["SELECT 1", "END"], "SELECT 1", True),
        (["SELECT 1", "LIMIT"], "SELECT 1", False),
    ],
    ids=["semicolon", "quoted", "fence", "tag", "end token", "token limit"],
)
def test_where_an_answer_ends(
    server: Recording, model: ServerModel, pieces: list[str], text: str, finished: bool
) -> None:
    reasons = {"END": piece("", "stop"), "LIMIT": piece("", "length")}
    lines = [reasons.get(one) or piece(one) for one in pieces]
    server.answers = [lambda handler: handler.stream(*lines, "[DONE]")]
    draft = ask(model)
    assert (draft.text, draft.finished) == (text, finished)


def test_the_key_is_sent_and_never_shown(
    server: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    model = ServerModel(server.url, first_wait_s=0.01)
    assert server.seen[0][2]["Authorization"] == f"Bearer {SECRET}"

    def echo(handler: Handler) -> None:
        handler.reply(422, {"error": "you sent " + str(handler.headers["Authorization"])})

    def babble(handler: Handler) -> None:
        handler.stream("you sent " + str(handler.headers["Authorization"]))

    def report(handler: Handler) -> None:
        said = "you sent " + str(handler.headers["Authorization"])
        handler.stream(json.dumps({"error": {"message": said, "code": 422}}))

    def lament(handler: Handler) -> None:
        handler.stream(json.dumps({"error": "you sent " + str(handler.headers["Authorization"])}))

    answers = (status(401), status(400), status(500), status(302, location="http://x/"))
    with caplog.at_level(logging.DEBUG):
        for answer, samples in (
            *((one, 0) for one in (*answers, echo, babble, report, lament)),
            (babble, 2),
        ):
            server.answers = [answer]
            with pytest.raises(GenerationError) as caught:
                ask(model, samples=samples)
            caught.value.prepare(debug=True)
            shown = "".join(caught.value._render_traceback_()) + repr(caught.value)
            assert SECRET not in shown + repr(model) + repr(model.spec) + repr(model._client)
    assert SECRET not in caplog.text and "POST" in caplog.text
    model.unload()


def test_addresses_that_cannot_be(server: Recording) -> None:
    with pytest.raises(OptionError, match="no address"):
        ServerModel("http://")
    with pytest.raises(OptionError, match="secret") as caught:
        ServerModel(f"http://me:{SECRET}@127.0.0.1:1/v1")
    assert SECRET not in str(caught.value)
    for odd in (f"http://me:{SECRET}@/v1", "http://host:abc/v1", "http://[::1", "http://a\0b/v1"):
        with pytest.raises(OptionError, match="no address") as caught:
            ServerModel(odd)
        assert SECRET not in str(caught.value)
    with pytest.raises(OptionError, match="secret"):
        ServerModel(f"http://127.0.0.1:1/v1#{SECRET}")
    with pytest.raises(ModelNotFoundError, match="No server answers"):
        ServerModel("http://127.0.0.1:1/v1")
    server.names = ["a", "b"]
    with pytest.raises(ModelNotFoundError, match="several models") as several:
        ServerModel(server.url)
    assert "a, b" in several.value.fix
    with pytest.raises(ModelNotFoundError, match="no model called c"):
        ServerModel(server.url, "c")


@pytest.mark.parametrize(
    ("listing", "sentence"),
    [
        (lambda handler: handler.reply(200, "<html>"), "no OpenAI-compatible server"),
        (lambda handler: handler.reply(200, {"data": [1]}), "no OpenAI-compatible server"),
        (lambda handler: handler.reply(404, {"error": SECRET}), "no OpenAI-compatible server"),
        (lambda handler: handler.reply(401, {"error": SECRET}), "refuses the key"),
        (lambda handler: handler.connection.close(), "No server answers"),
        (lambda handler: handler.server.closed.wait(30) and None, "No server answers"),
        (lambda handler: handler.reply(200, {"data": []}), "serves none"),
    ],
    ids=["text", "odd", "404", "401", "cut", "hangs", "empty"],
)
def test_a_server_that_cannot_be_asked_is_a_sentence(
    server: Recording, monkeypatch: pytest.MonkeyPatch, listing: Answer, sentence: str
) -> None:
    monkeypatch.setattr("sqlcoder_magic.models.server.CONNECT_S", 0.3)
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    server.listing = listing
    with pytest.raises(ModelNotFoundError, match=sentence) as caught:
        ServerModel(server.url)
    assert caught.value.fix and SECRET not in str(caught.value)
    server.closed.set()
    server.listing = None
    ServerModel(server.url).unload()


def test_open_model_takes_an_address(server: Recording) -> None:
    first = open_model(server.url)
    assert isinstance(first, ServerModel) and first.spec.backend == "server"
    assert open_model(server.url) is first
    assert open_model(first.spec) is first
    assert first.spec.template is not None and first.spec.template.name == "sqlcoder-7b-2"
    with pytest.raises(OptionError, match="one beam"):
        ask(first, beams=4)


def test_a_key_that_is_wanted_is_a_sentence(server: Recording, model: ServerModel) -> None:
    server.answers = [status(401)]
    with pytest.raises(GenerationError, match=r"wants a key \(401\)") as caught:
        ask(model)
    assert KEY_VARIABLE in caught.value.fix
    server.listing = lambda handler: handler.reply(403, {})
    with pytest.raises(ModelNotFoundError, match="wants a key"):
        ServerModel(server.url)
