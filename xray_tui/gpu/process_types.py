"""The type of a GPU process, from the driver's lists that contain it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Entry(NamedTuple):
    """An entry of one of the driver's lists; memory in bytes, None if not reported."""

    pid: int
    memory: int | None


class Merged(NamedTuple):
    """A pid of any list, with its type as nvidia-smi writes it."""

    pid: int
    kind: str
    memory: int | None


def merge(compute: Iterable[Entry], graphics: Iterable[Entry], mps: Iterable[Entry]) -> list[Merged]:
    """One entry per pid, the largest memory first.

    A pid in the compute and the graphics list is "C+G", in the MPS and the compute list "M+C". The entries of a pid in
    one list are MIG instances and are summed; entries in several lists are the same memory, so the largest counts.
    """
    kinds: dict[int, list[str]] = {}
    memory: dict[int, int | None] = {}
    for letter, listed in (("M", mps), ("C", compute), ("G", graphics)):
        for pid, total in _memory_by_pid(listed).items():
            kinds.setdefault(pid, []).append(letter)
            memory[pid] = max((size for size in (memory.get(pid), total) if size is not None), default=None)
    processes = [Merged(pid, "+".join(letters), memory[pid]) for pid, letters in kinds.items()]
    return sorted(processes, key=lambda process: (-1 if process.memory is None else -process.memory, process.pid))


def _memory_by_pid(listed: Iterable[Entry]) -> dict[int, int | None]:
    total: dict[int, int | None] = {}
    for pid, memory in listed:
        before = total.get(pid)
        total[pid] = memory if before is None else before + (memory or 0)
    return total
