"""JupyterLab in a headless Chromium: a server, a page with one notebook, its cells.

For `screenshot.py` and for the tests that need a real front end. Knows JupyterLab 4's page; knows
nothing of this package. Chromium is the system's: `chromium()` says where, or None.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PATH = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/bin"
PATIENCE_S = 120  # for a page or a cell, on a busy machine
CHROMIUM_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
SETTINGS = {
    # Every cell is in the page, also one that is scrolled away.
    "notebook-extension/tracker": '{"windowingMode": "none"}',
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}
_READY = """() => {
    const idle = document.querySelector(
        '.jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status="idle"]');
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
    return idle && prompts.length && prompts.every(p => /\\[.*\\]:/.test(p.innerText));
}"""
# Earlier, a key press is lost: idle is also what a notebook without a kernel says it is.
_CONNECTED = """async () => {
    const context = window.jupyterapp?.shell.currentWidget?.context;
    if (!context) return false;
    await context.ready;
    await context.sessionContext.ready;
    return (await context.sessionContext.session?.kernel?.info)?.status === 'ok';
}"""
_DONE = """([number, before]) => {
    const cell = document.querySelectorAll('.jp-Notebook .jp-Cell')[number];
    const prompt = cell.querySelector('.jp-InputPrompt').innerText.trim();
    return prompt !== before && /\\[\\d+\\]/.test(prompt);
}"""


def chromium() -> str | None:
    """The path of Chromium: the one that `CHROMIUM` of the environment names, or the system's."""
    named = os.environ.get("CHROMIUM", "")
    return shutil.which(named) if named else shutil.which("chromium", path=_PATH)


@contextmanager
def running_lab(directory: Path) -> Iterator[str]:
    """The address of a JupyterLab that serves `directory`, without a password; stopped after.

    Its settings, log and history go to `directory/.jupyter`.
    """
    home = directory / ".jupyter"
    for name, text in SETTINGS.items():
        file = home / "lab" / "user-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    port = _free_port()
    options = {
        "ServerApp.allow_root": "True",
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.open_browser": "False",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": directory,
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": "True",
        "LabApp.news_url": "",
    }
    command = [sys.executable, "-m", "jupyterlab"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with (directory / "lab.log").open("w") as log:
        server = subprocess.Popen(
            command, env=_environment(home), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/api/status", server)
            yield address
        finally:
            server.terminate()
            server.wait(30)


def _environment(home: Path) -> dict[str, str]:
    places = {
        "IPYTHONDIR": home / "ipython",
        "JUPYTER_CONFIG_DIR": home,
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "lab" / "user-settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "lab" / "workspaces",
    }
    return {**os.environ, **{name: str(place) for name, place in places.items()}}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise TimeoutError("JupyterLab did not start: see lab.log")


class NotebookPage:
    """A notebook that is open in the browser. Cells count from 0, as they are on the page."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.cells = page.locator(".jp-Notebook .jp-Cell")

    def source(self, number: int) -> str:
        """The text of a cell's editor."""
        return str(self.cells.nth(number).locator(".cm-content").first.inner_text())

    def sources(self) -> list[str]:
        """The text of every cell; of a rendered Markdown cell, nothing."""
        editors = [self.cells.nth(i).locator(".cm-content") for i in range(self.cells.count())]
        return [editor.first.inner_text() if editor.count() else "" for editor in editors]

    def find(self, text: str) -> int:
        """The number of the first cell whose source has `text`."""
        return next(i for i, source in enumerate(self.sources()) if text in source)

    def output(self, number: int) -> Any:
        """The output area of a cell."""
        return self.cells.nth(number).locator(".jp-Cell-outputArea")

    def text(self, number: int) -> str:
        """What a cell's output says."""
        return str(self.output(number).inner_text())

    def add(self, source: str) -> int:
        """A new cell at the end; its number."""
        number = self.cells.count() - 1
        self.cells.nth(number).click()
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("b")
        self.cells.nth(number + 1).locator(".cm-content").click()
        self.page.keyboard.insert_text(source)
        return number + 1

    def press_run(self, number: int) -> None:
        """Run a cell in place, without waiting for it."""
        self.cells.nth(number).locator(".cm-content").first.click()
        self.page.keyboard.press("Control+Enter")

    def run(self, number: int) -> None:
        """Run a cell in place and wait until it is done, and the kernel idle."""
        before = self.cells.nth(number).locator(".jp-InputPrompt").inner_text().strip()
        self.press_run(number)
        self.page.wait_for_function(_DONE, arg=[number, before], timeout=PATIENCE_S * 1000)
        self.settle()

    def wait_for_source(self, number: int, text: str) -> None:
        """Wait until a cell's source has `text`."""
        editor = self.cells.nth(number).locator(".cm-content", has_text=text)
        editor.wait_for(timeout=PATIENCE_S * 1000)

    def settle(self) -> None:
        """Wait until the kernel is idle and the page has drawn what it said."""
        self.page.wait_for_function(_READY, timeout=PATIENCE_S * 1000)
        self.page.wait_for_timeout(500)


@contextmanager
def open_notebook(
    address: str, name: str, *, width: int = 1200, height: int = 1600, scale: float = 1
) -> Iterator[NotebookPage]:
    """The notebook `name` of the lab at `address`, open and its kernel idle."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), headless=True, args=CHROMIUM_FLAGS
        )
        try:
            page = browser.new_page(
                viewport={"width": width, "height": height}, device_scale_factor=scale
            )
            page.goto(f"{address}/doc/tree/{name}?reset")
            page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=PATIENCE_S * 1000)
            page.wait_for_function(_CONNECTED, timeout=PATIENCE_S * 1000)
            notebook = NotebookPage(page)
            notebook.settle()
            yield notebook
        finally:
            browser.close()
