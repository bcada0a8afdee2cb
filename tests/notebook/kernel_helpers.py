"""A real kernel for tests: run code as a notebook's cell does, and keep everything it says.

Covers: output, payloads (the request for a new cell), errors, interrupts. Not covered: what a
front end makes of it (`test_lab.py`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

PATIENCE_S = 120  # with a busy machine, before a test gives up


@dataclass
class Reply:
    """All that one execution gave: messages in order, and the reply on the shell channel."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)
    seconds_to_stop: float = 0.0

    @property
    def ok(self) -> bool:
        return self.reply["status"] == "ok"

    @property
    def cells(self) -> list[str]:
        """The texts of the cells it asked the front end for."""
        payload = self.reply.get("payload", [])
        return [item["text"] for item in payload if item["source"] == "set_next_input"]

    @property
    def replaces(self) -> list[bool]:
        """For each of `cells`, whether it is to replace the executed one."""
        payload = self.reply.get("payload", [])
        return [item["replace"] for item in payload if item["source"] == "set_next_input"]

    @property
    def error(self) -> list[str]:
        """The traceback's lines as the front end shows them; empty without an error."""
        found = [m["content"]["traceback"] for m in self.messages if m["msg_type"] == "error"]
        return found[0] if found else []

    @property
    def stdout(self) -> str:
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        return self._stream("stderr")

    def _stream(self, name: str) -> str:
        streams = [m["content"] for m in self.messages if m["msg_type"] == "stream"]
        return "".join(part["text"] for part in streams if part["name"] == name)

    def shown(self, kind: str = "text/plain") -> str:
        """What is on the screen at the end: each display in its last state, then results."""
        places: dict[str, str] = {}
        for number, message in enumerate(self.messages):
            if message["msg_type"] in ("display_data", "update_display_data", "execute_result"):
                content = message["content"]
                place = content.get("transient", {}).get("display_id") or str(number)
                places[place] = content["data"].get(kind, "")
        return "\n".join(places.values())

    def everything(self) -> str:
        """Every word the kernel said, the echo of the code aside."""
        said = [m["content"] for m in self.messages if m["msg_type"] != "execute_input"]
        return json.dumps([said, self.reply], default=str, ensure_ascii=False)


class Kernel:
    """A kernel and the client that talks to it."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self._manager, self._client = manager, client
        self.said: list[str] = []

    def run(
        self,
        code: str,
        *,
        cell: str = "",
        until: Callable[[dict[str, Any]], bool] | None = None,
        pause_s: float = 0.0,
    ) -> Reply:
        """Execute `code` as the cell whose id is `cell`.

        With `until`, interrupt the kernel `pause_s` after the first message for which it is true.
        """
        wanted = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        metadata = {"cellId": cell} if cell else {}
        message = self._client.session.msg("execute_request", wanted, metadata=metadata)
        self._client.shell_channel.send(message)
        reply = Reply()
        interrupted_at = 0.0
        for heard in self._heard(message["header"]["msg_id"]):
            reply.messages.append(heard)
            if until is not None and not interrupted_at and until(heard):
                time.sleep(pause_s)
                self._manager.interrupt_kernel()
                interrupted_at = time.monotonic()
        if interrupted_at:
            reply.seconds_to_stop = time.monotonic() - interrupted_at
        assert until is None or interrupted_at, "the moment to interrupt never came"
        reply.reply = self._shell_reply(message["header"]["msg_id"])
        self.said.append(reply.everything())
        return reply

    def value(self, expression: str) -> Any:
        """The value of a Python expression in the kernel, by way of JSON."""
        reply = self.run(f"import json; print(json.dumps({expression}))")
        assert reply.ok, reply.error
        return json.loads(reply.stdout.splitlines()[-1])

    def use_fake_model(self) -> None:
        """Let a fake model without replies answer from now on."""
        code = (
            "from sqlcoder_magic import FakeModel, use_model\nfake = FakeModel()\nuse_model(fake)"
        )
        assert self.run(code).ok

    def model_says(self, *replies: str) -> None:
        """Queue the fake model's next replies."""
        assert self.run(f"fake.enqueue({replies!r})").ok

    def _heard(self, request: str) -> Iterator[dict[str, Any]]:
        """Messages about `request`, until the kernel is idle again."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                message = self._client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") != request:
                continue
            yield message
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return
        raise TimeoutError(f"the kernel did not finish in {PATIENCE_S} s")

    def _shell_reply(self, request: str) -> dict[str, Any]:
        while True:
            message = self._client.get_shell_msg(timeout=PATIENCE_S)
            if message["parent_header"].get("msg_id") == request:
                return dict(message["content"])


@contextmanager
def started_kernel() -> Iterator[Kernel]:
    """A fresh kernel of this interpreter, gone at the end."""
    manager = KernelManager()
    manager.kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE_S)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
