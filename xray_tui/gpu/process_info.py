"""Who a pid is: name, user, command and start time, as far as it can be seen from here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.text import clean

_COMMAND_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Person:
    """What /proc says about a pid; all None where it cannot be seen."""

    name: str | None = None
    user: str | None = None
    command: str | None = None
    started: float | None = None


UNSEEN = Person()


class People:
    """Looks up pids, and remembers each by pid and start time: a pid that is used again is somebody else."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, Person]] = {}

    def of(self, pid: int) -> Person:
        """Never an error: a pid of another container, a hidden or an ended one is UNSEEN.

        Any thread may ask. It may wait as long as a driver call: the kernel does not tell the command line of a
        process whose memory it is busy with, and one that hangs in the driver can be such.
        """
        birth = _birth(pid)
        if birth is None:
            return UNSEEN
        born, known = self._known.get(pid, (None, UNSEEN))
        if born != birth:
            known = _look_up(pid)
            self._known[pid] = birth, known
        return known

    def forget_all_but(self, pids: set[int]) -> None:
        """Drop who no longer holds a GPU."""
        self._known = {pid: known for pid, known in self._known.items() if pid in pids}


def _birth(pid: int) -> float | None:
    """When the process with this pid began, by any clock; None where it cannot be seen."""
    if sys.platform != "linux":
        return _look_up(pid).started
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()  # a quarter of what psutil takes, for each process at each look
    except OSError:
        return None
    return float(stat[stat.rindex(b")") + 2 :].split()[19])  # the name before it may hold blanks and brackets


def _look_up(pid: int) -> Person:
    import psutil  # here, so that a machine whose GPUs are idle never pays for it

    try:
        facts = psutil.Process(pid).as_dict(["name", "username", "cmdline", "create_time"], ad_value=None)
    except (psutil.Error, OSError, ValueError, OverflowError):
        return UNSEEN
    return _person(facts)


def _person(facts: Mapping[str, Any]) -> Person:
    name, user, command = facts["name"], facts["username"], " ".join(facts["cmdline"] or ())
    return Person(
        name=clean(name) if name else None,
        user=clean(user) if user else None,
        command=clean(command[:_COMMAND_LENGTH]) or None,
        started=facts["create_time"],
    )
