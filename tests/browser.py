"""A real browser for tests: Chromium without a window, told what to do by its DevTools protocol.

Lives here: starting one, its pages, and a call of the protocol, which goes over a pair of pipes and
needs no library (https://chromedevtools.github.io/devtools-protocol). Where there is no Chromium
the test is skipped.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

COMMANDS = ("chromium", "chromium-browser", "google-chrome")

# A browser that shows nothing, asks for nothing, and talks to nobody but the pages' own server.
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)

SECONDS = 60.0  # until what a page should show has failed to come

# What Chromium reads commands from and writes answers to.
COMMANDS_FD, ANSWERS_FD = 3, 4


class Browser:
    """A running browser."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._rest, self._number = b"", 0

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            continue  # events, which nobody asked for
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def wait(self, event: str, session: str) -> None:
        """Return when a page says so."""
        while (told := self._next()).get("method") != event or told.get("sessionId") != session:
            continue

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._answers], [], [], SECONDS)[0]:
                pytest.fail(f"the browser has said nothing for {SECONDS:g} s")
            chunk = os.read(self._answers, 65536)
            assert chunk, "the browser has ended"
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def page(self, url: str) -> Page:
        """A page of its own, loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        page.load(url)
        return page


class Page:
    """One page of a browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def load(self, url: str) -> None:
        """Go there, and return when the page is whole."""
        self._browser.call("Page.enable", self._session)
        self._browser.call("Page.navigate", self._session, url=url)
        self._browser.wait("Page.loadEventFired", self._session)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        result = self._browser.call(
            "Runtime.evaluate",
            self._session,
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until a JavaScript condition holds."""
        self.evaluate(
            "new Promise((done) => { const look = () =>"
            f" ({condition}) ? done() : setTimeout(look, 10); look() }})"
        )

    def press(self, selector: str, text: str) -> None:
        """Type into a field as a person would, and press Enter."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        self._browser.call("Input.insertText", self._session, text=text)
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        for kind in ("keyDown", "keyUp"):
            self._browser.call("Input.dispatchKeyEvent", self._session, type=kind, **key)


@contextmanager
def browser() -> Iterator[Browser]:
    """A new browser, with a profile of its own."""
    command = next(filter(None, map(shutil.which, COMMANDS)), None)
    if command is None:
        pytest.skip("no Chromium is installed (Debian: chromium)")
    theirs, commands = os.pipe()
    answers, theirs_too = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The shell gives the pipes the numbers that Chromium takes them by.
        arguments = [command, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        redirections = f"{COMMANDS_FD}<&{theirs} {ANSWERS_FD}>&{theirs_too}"
        process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" {redirections}', "bash", *arguments],
            pass_fds=(theirs, theirs_too),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs)
        os.close(theirs_too)
        try:
            yield Browser(commands, answers)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # its helpers, too
            process.wait()
            os.close(commands)
            os.close(answers)
