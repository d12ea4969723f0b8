"""A real browser for tests: Debian's Chromium, spoken to over a pipe in the DevTools protocol."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from waitress import wasyncore

from search.settings import PROJECT
from web.connections import Server

CHROMIUM = shutil.which("chromium")
TIMEOUT_S = 20
SHOTS = PROJECT / "build" / "screenshots"

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no chromium here; on Debian: apt-get install chromium")

LEFT = "Inspected target navigated or closed"
"""Chromium's answer to a command that a navigation overtakes."""

PIPED = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
"""Chromium reads commands from descriptor 3 and writes to 4."""


class LeftError(Exception):
    """The page that was asked is gone: another one took its place before it answered."""


class Browser:
    """A headless Chromium with one page at a time. `problems` are the errors that its console showed."""

    def __init__(self, profile: Path) -> None:
        commands, self._commands = _pipe()
        self._answers, answers = _pipe()
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ]
        words = [sys.executable, "-c", PIPED, str(commands), str(answers), str(CHROMIUM), *options, "about:blank"]
        self._process = subprocess.Popen(
            words, pass_fds=(commands, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(commands)
        os.close(answers)
        self._unread = b""
        self._sent = 0
        self._session: dict[str, str] = {}
        self.problems: list[str] = []

    @contextmanager
    def page(self) -> Iterator[None]:
        """Show a page that knows nothing of those before it: no cookies, no cache."""
        self.problems = []
        context = self.send("Target.createBrowserContext")
        target = self.send("Target.createTarget", url="about:blank", **context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        try:
            yield
        finally:
            self._session = {}
            self.send("Target.disposeBrowserContext", **context)

    def send(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol, and its result."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._sent:
            self._note(answer)
        if LEFT in answer.get("error", {}).get("message", ""):
            raise LeftError
        assert "result" in answer, answer
        return answer["result"]

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Return when an expression in the page is true, which may be the page after this one."""
        end = time.monotonic() + TIMEOUT_S
        while not self._holds(f"document.readyState === 'complete' && !!({condition})"):
            assert time.monotonic() < end, f"never true: {condition} on {self.run('location.href')}"
            time.sleep(0.02)

    def _holds(self, condition: str) -> bool:
        try:
            return bool(self.run(condition))
        except LeftError:
            return False

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)
        self.wait(f"location.href === {json.dumps(url)}")

    def press(self, key: str) -> None:
        codes = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **text)

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def drop(self, name: str, data: bytes) -> None:
        """Let go of a file over the page."""
        self.run(
            f"""(() => {{
                const text = atob("{base64.b64encode(data).decode()}");
                const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt());
                const held = new DataTransfer();
                held.items.add(new File([bytes], {json.dumps(name)}));
                document.dispatchEvent(new DragEvent("drop", {{dataTransfer: held, bubbles: true, cancelable: true}}));
            }})()"""
        )

    def shoot(self, name: str) -> None:
        """Keep a picture of the page for people to look at, when its pictures are there."""
        self.wait("[...document.images].every(image => image.complete || image.loading === 'lazy')")
        SHOTS.mkdir(parents=True, exist_ok=True)
        shot = self.send("Page.captureScreenshot", format="png")
        (SHOTS / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self.send("Browser.close")
        self._process.wait(timeout=TIMEOUT_S)
        os.close(self._commands)
        os.close(self._answers)

    def _read(self) -> Any:
        while b"\0" not in self._unread:
            assert select.select([self._answers], [], [], TIMEOUT_S)[0], "Chromium does not answer"
            self._unread += os.read(self._answers, 65536)
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def _note(self, event: Any) -> None:
        if event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(event["params"]))
        elif event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.problems.append(event["params"]["entry"]["text"])


def _pipe() -> tuple[int, int]:
    """Both ends, away from the descriptors 3 and 4."""
    low = os.pipe()
    reading, writing = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low)
    for end in low:
        os.close(end)
    return reading, writing


@contextmanager
def running(app: Flask) -> Iterator[str]:
    """Its URL, answered by the server that people use."""
    server = Server(app, listener := socket.create_server(("127.0.0.1", 0)))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))
        thread.join()
        server.task_dispatcher.shutdown()
