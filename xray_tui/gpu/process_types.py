"""The kind of a GPU process, from the lists that it stands in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Holder(NamedTuple):
    """A pid that one list of the driver names, with its memory in bytes (None: not told)."""

    pid: int
    memory: int | None


class Merged(NamedTuple):
    """A pid of any list, with its kind as nvidia-smi writes it."""

    pid: int
    kind: str
    memory: int | None


def merge(compute: Iterable[Holder], graphics: Iterable[Holder], mps: Iterable[Holder]) -> list[Merged]:
    """One entry a pid, the largest first.

    A pid in the compute and the graphics list is "C+G", in the MPS and the compute list "M+C". Within one list a pid's
    entries add up (MIG instances); across lists they are the same memory seen twice, so the largest counts.
    """
    kinds: dict[int, list[str]] = {}
    memory: dict[int, int | None] = {}
    for letter, holders in (("M", mps), ("C", compute), ("G", graphics)):
        for pid, held in _added_up(holders).items():
            kinds.setdefault(pid, []).append(letter)
            memory[pid] = max((size for size in (memory.get(pid), held) if size is not None), default=None)
    found = [Merged(pid, "+".join(letters), memory[pid]) for pid, letters in kinds.items()]
    return sorted(found, key=lambda process: (-1 if process.memory is None else -process.memory, process.pid))


def _added_up(holders: Iterable[Holder]) -> dict[int, int | None]:
    total: dict[int, int | None] = {}
    for pid, memory in holders:
        before = total.get(pid)
        total[pid] = memory if before is None else before + (memory or 0)
    return total
