"""Exit codes and the errors that become them: one clear line, never a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """What the exit status of `xray-engine` says."""

    DONE = 0
    OTHER = 1
    BAD_INPUT = 2
    STOPPED = 3
    OUT_OF_MEMORY = 4
    NO_SPACE = 5


class BadInput(Exception):
    """Something the user gave is wrong. `lines` says all of it, a line each, ready to print."""

    def __init__(self, lines: str | Iterable[str]) -> None:
        self.lines: tuple[str, ...] = (lines,) if isinstance(lines, str) else tuple(lines)
        super().__init__("\n".join(self.lines))


class Failed(Exception):
    """The work came to nothing, and the message is why: one line, ready to print."""


class Stopped(BaseException):
    """The work was asked to stop (SIGTERM, SIGINT). Like KeyboardInterrupt it is no Exception: it may come from a
    signal at any place, and nothing that guards a library call may swallow it."""
