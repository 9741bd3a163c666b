"""Who a pid is: name, user, command and start time, as far as it can be seen from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
        self._known: dict[int, Person] = {}

    def of(self, pid: int) -> Person:
        """Never an error: a pid of another container, a hidden or an ended one is UNSEEN."""
        import psutil  # here, so that a machine whose GPUs are idle never pays for it

        try:
            process = psutil.Process(pid)
            started = process.create_time()
            known = self._known.get(pid)
            if known is None or known.started != started:
                facts = process.as_dict(["name", "username", "cmdline"], ad_value=None)
                known = self._known[pid] = _person(facts, started)
        except (psutil.Error, OSError, ValueError, OverflowError):
            self._known.pop(pid, None)
            return UNSEEN
        return known

    def forget_all_but(self, pids: set[int]) -> None:
        """Drop who no longer holds a GPU."""
        self._known = {pid: person for pid, person in self._known.items() if pid in pids}


def _person(facts: Mapping[str, Any], started: float) -> Person:
    name, user, command = facts["name"], facts["username"], " ".join(facts["cmdline"] or ())
    return Person(
        name=clean(name) if name else None,
        user=clean(user) if user else None,
        command=clean(command[:_COMMAND_LENGTH]) or None,
        started=started,
    )
