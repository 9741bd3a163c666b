"""Name, user, command and start time of a process by its pid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.contract.text import clean
from xray_tui.system.process import Process, identify

_COMMAND_LENGTH = 300

UNSEEN: Mapping[str, Any] = {}
"""The facts of a process that is not visible."""


class ProcessInfoCache:
    """Process facts cached by pid and start time, because a pid can be reused by another process."""

    def __init__(self) -> None:
        self._cached: dict[Process, Mapping[str, Any]] = {}

    def of(self, pid: int) -> Mapping[str, Any]:
        """The fields name, user, command and started of a GpuProcess; UNSEEN if the process has ended, is hidden, or is
        in another container.

        Thread-safe. Can block like a driver call, because reading a command line waits for the process's memory lock,
        which a process that hangs in the driver may hold.
        """
        process = identify(pid)  # four times as fast as psutil; called for every GPU process
        if process is None:
            return UNSEEN
        if process not in self._cached:
            self._cached[process] = _look_up(pid)
        return self._cached[process]

    def keep_only(self, pids: set[int]) -> None:
        """Drop all other pids from the cache."""
        self._cached = {process: facts for process, facts in self._cached.copy().items() if process.pid in pids}


def _look_up(pid: int) -> Mapping[str, Any]:
    import psutil  # imported late: a machine with idle GPUs does not need it

    try:
        facts = psutil.Process(pid).as_dict(["name", "username", "cmdline", "create_time"], ad_value=None)
    except (psutil.Error, OSError, ValueError, OverflowError):
        return UNSEEN
    return {
        "name": clean(facts["name"] or "") or None,
        "user": clean(facts["username"] or "") or None,
        "command": clean(" ".join(facts["cmdline"] or ())[:_COMMAND_LENGTH]) or None,
        "started": facts["create_time"],
    }
