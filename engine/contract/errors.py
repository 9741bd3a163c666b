"""Exit codes, and the exceptions that lead to them. Their messages are printed without a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """Exit status of `xray-engine`."""

    DONE = 0
    OTHER = 1
    BAD_INPUT = 2
    STOPPED = 3
    OUT_OF_MEMORY = 4
    NO_SPACE = 5


class BadInput(Exception):
    """The user's input is invalid. `lines` holds one message per line, ready to print."""

    def __init__(self, lines: str | Iterable[str]) -> None:
        self.lines: tuple[str, ...] = (lines,) if isinstance(lines, str) else tuple(lines)
        super().__init__("\n".join(self.lines))


class Failed(Exception):
    """The work failed. The message is the cause, in one line, ready to print."""


class Stopped(BaseException):
    """The work was stopped (SIGTERM, SIGINT). Like KeyboardInterrupt it is not an Exception, because a signal can raise
    it anywhere and an `except Exception` around library calls must not swallow it."""
