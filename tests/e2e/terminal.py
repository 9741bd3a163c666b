"""A program in a terminal of its own: keys go in, and what a person would see comes out."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pexpect
import pyte

ENTER, ESCAPE, DOWN, RIGHT, LEFT, F5 = "\r", "\x1b", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[15~"

PATIENCE = 120.0
"""Seconds; a machine that trains beside the tests takes its time, and a quiet one does not need them."""

_MODE = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")
_SGR = re.compile(rb"\x1b\[([0-9:;]*)m")
_COLOURS = frozenset(range(30, 39)) | frozenset(range(40, 49)) | frozenset(range(90, 98)) | frozenset(range(100, 108))


class Terminal:
    """A command in a pty, with all the bytes that it sent and the screen that came of them.

    A thread takes what it sends at once: a program whose terminal does not read stands still. Used in a `with`, which
    leaves no process behind.
    """

    def __init__(
        self, command: Sequence[str], *, columns: int, lines: int, env: Mapping[str, str], cwd: Path | None = None
    ) -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._sent = bytearray()
        self._news = threading.Condition()
        self._ended = False
        self._child = pexpect.spawn(
            command[0], list(command[1:]), dimensions=(lines, columns), env=dict(env), cwd=cwd, echo=False
        )
        self._child.delaybeforesend = None
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader.is_alive():
            os.kill(self.pid, signal.SIGKILL)
            self._reader.join(5)  # before the descriptor is closed and its number is another's
        self._child.close(force=True)

    def _read(self) -> None:
        while True:
            try:
                new = os.read(self._child.child_fd, 1 << 16)
            except OSError:  # EIO: the program is gone
                new = b""
            with self._news:
                self._sent += new
                self._stream.feed(new)
                self._ended = not new
                self._news.notify_all()
            if not new:
                return

    @property
    def pid(self) -> int:
        """Of the program."""
        return int(self._child.pid)

    @property
    def sent(self) -> bytes:
        """Every byte that it has sent so far."""
        with self._news:
            return bytes(self._sent)

    @property
    def text(self) -> str:
        """The screen, without the blanks at the ends of its lines."""
        with self._news:
            return self._text()

    def _text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display)

    def press(self, *keys: str) -> None:
        """Type the keys."""
        for key in keys:
            self._child.send(key)

    def wait(self, seen: str | re.Pattern[str], seconds: float = PATIENCE) -> str:
        """The screen as soon as it shows the text; fails with the screen as it is where that never comes."""
        pattern = re.compile(re.escape(seen)) if isinstance(seen, str) else seen
        with self._news:
            self._news.wait_for(lambda: self._ended or pattern.search(self._text()), seconds)
            if not pattern.search(self._text()):
                why = "the program has ended" if self._ended else f"waited {seconds:.0f} s"
                raise AssertionError(f"{pattern.pattern!r} is not on the screen ({why}):\n{self._text()}")
            return self._text()

    def kill(self) -> None:
        """SIGKILL, which no program can answer."""
        os.kill(self.pid, signal.SIGKILL)
        self.exit_status()

    def exit_status(self, seconds: float = 20.0) -> int:
        """What it ends with; negative for a signal. Fails where it does not end."""
        self._reader.join(seconds)
        if self._reader.is_alive():
            raise AssertionError(f"the program does not end within {seconds:.0f} s:\n{self.text}")
        self._child.wait()
        return -self._child.signalstatus if self._child.signalstatus else int(self._child.exitstatus)

    @property
    def modes_left_on(self) -> set[int]:
        """The private modes (alternate screen, mouse, …) that it switched on and not off again."""
        on: set[int] = set()
        for numbers, switch in _MODE.findall(self.sent):
            modes = {int(number) for number in numbers.split(b";")}
            on = on | modes if switch == b"h" else on - modes
        return on

    @property
    def colours(self) -> set[int]:
        """The SGR codes for colours that it sent; 39 and 49, the terminal's own, are none."""
        codes = (int(code) for codes in _SGR.findall(self.sent) for code in re.split(rb"[:;]", codes) if code)
        return {code for code in codes if code in _COLOURS}
