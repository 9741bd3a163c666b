"""The process that draws the test images of one artifact (`xray-engine pictures`), and the thread that talks to it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Thread
from typing import NamedTuple

from engine.contract.text import clean
from xray_tui.feeds.engine_command import EngineCommand
from xray_tui.system.error_log import in_words


class Case(NamedTuple):
    """A test image, with its figures in the artifact's table. `id` is raw: pass it through `clean()` before showing."""

    id: str
    fractured: bool
    missed: bool
    """Whether no pixel of its fracture was found."""
    dice: float | None
    """None without a fracture."""
    fp: int
    """False-positive pixels."""
    presence: float


class Cases(NamedTuple):
    """The first answer: the artifact's threshold, and its test images by id."""

    threshold: float
    by_id: dict[str, Case]


class Request(NamedTuple):
    """A picture of at most these rows and columns of pixels, of the lesion or of the whole image."""

    id: str
    rows: int
    columns: int
    threshold: float
    zoom: bool


class Drawing(NamedTuple):
    """The answer to a request: RGB pixels row by row, or `problem`, why there are none."""

    request: Request
    dice: float | None = None
    rows: int = 0
    columns: int = 0
    pixels: bytes = b""
    problem: str = ""


class PictureProcess:
    """Answers the newest request; an older one that has not been sent yet is dropped."""

    def __init__(self, artifact: Path, received: Callable[[Cases | Drawing | str], None]) -> None:
        """The thread calls `received` with the cases, then with drawings, and with one line if the process fails."""
        self._artifact = artifact
        self._received = received
        self._request: Request | None = None
        self._command: EngineCommand | None = None
        self._stopped = False
        self._changed = Condition()
        Thread(target=self._run, name="pictures", daemon=True).start()

    def ask(self, request: Request) -> None:
        """Replace the request that waits."""
        with self._changed:
            self._request = request
            self._changed.notify()

    def stop(self) -> None:
        """Kill the process and return at once; `received` is not called afterwards."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
            if self._command is not None:
                self._command.kill()

    def _run(self) -> None:
        problem = ""
        try:
            with self._changed:
                if self._stopped:
                    return
                self._command = command = EngineCommand("pictures", self._artifact)
            try:
                self._talk(command)
            except (ValueError, KeyError, TypeError) as error:
                problem = in_words(error)
                command.kill()
            problem = command.finish()[1] or problem or "The process that draws the pictures has ended"
        except OSError as error:
            problem = in_words(error)
        self._deliver(problem)

    def _talk(self, command: EngineCommand) -> None:
        """Send requests and deliver the answers until the process ends or is stopped."""
        if first := command.ask():
            cases = [Case(**case) for case in first["cases"]]
            self._deliver(Cases(first["threshold"], {case.id: case for case in cases}))
        while first and (request := self._next()) is not None and (answer := command.ask(request._asdict())):
            pixels, problem = base64.b64decode(answer.get("pixels", "")), clean(answer.get("error", ""))
            size = answer.get("rows", 0), answer.get("columns", 0)
            self._deliver(Drawing(request, answer.get("dice"), *size, pixels, problem))

    def _next(self) -> Request | None:
        """Wait for a request; None after `stop`."""
        with self._changed:
            self._changed.wait_for(lambda: self._request is not None or self._stopped)
            request, self._request = self._request, None
            return None if self._stopped else request

    def _deliver(self, value: Cases | Drawing | str) -> None:
        if not self._stopped:
            self._received(value)
