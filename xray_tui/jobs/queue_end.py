"""When the queue will be done: its order played through, with what its jobs are likely to take. Pure."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

DAY = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Task:
    """A job that runs or waits."""

    id: str
    name: str
    """For reading, as "train unet_a"."""
    seconds: float | None
    """What is left of it, or all of it where it waits; None where that is not known."""
    gpus: tuple[str, ...] = ()
    """The GPUs that it holds, or of which it takes `count`; none: it is on the CPU."""
    count: int = 0
    """GPUs, all at once; 0: it takes a slot of the CPU."""
    slots: int = 1
    """So many share a GPU with it, itself among them; 1: it has its GPUs alone."""
    after: tuple[str, ...] = ()
    """Ids of those that have to end before it."""
    why: str = ""
    """Why `seconds` is not known."""


@dataclass(frozen=True, slots=True)
class QueueEnd:
    """What there is to do, and in how many seconds all of it will be done."""

    jobs: int
    gpus: int
    on_cpu: int
    """How many of the jobs have no GPU."""
    seconds: float | None
    unknown: tuple[str, ...] = ()
    """Why that is not known."""

    def sentence(self, now: float) -> str:
        """`6 jobs on 2 GPUs, done about 07:40`, in the machine's local time; `now` is seconds since the epoch."""
        with_gpu = self.jobs - self.on_cpu
        parts = [f"{_count(with_gpu, 'job')} on {_count(self.gpus, 'GPU')}"] if with_gpu else []
        if self.on_cpu:
            parts.append(f"{self.on_cpu if parts else _count(self.on_cpu, 'job')} on the CPU")
        head = " and ".join(parts)
        if self.seconds is None:
            more = f" (and {len(self.unknown) - 1} more)" if len(self.unknown) > 1 else ""
            they = "it" if self.jobs == 1 else "they"
            return f"{head}; when {they} will be done is not known: {self.unknown[0]}{more}"
        end = time.localtime(now + self.seconds)
        day = "" if self.seconds < DAY else "%a " if self.seconds < 6 * DAY else "%Y-%m-%d "
        return f"{head}, done about {time.strftime(f'{day}%H:%M', end)}"


def queue_end(
    running: Sequence[Task], waiting: Sequence[Task], gpus: Collection[str], cpu_slots: int, others: Sequence[str] = ()
) -> QueueEnd:
    """Serve the waiting in their order as GPUs and slots become free.

    `gpus` are those that jobs may have, the running ones' included. `others` says what else keeps the end from being
    known.
    """
    everything = (*running, *waiting)
    on_cpu = sum(not task.count for task in everything)
    unknown = [task.why or f"{task.name} is like none before" for task in everything if task.seconds is None]
    unknown += [_short_of(task, gpus) for task in waiting if len(_usable(task, gpus)) < task.count]
    unknown += others
    if unknown:
        return QueueEnd(len(everything), len(gpus), on_cpu, None, tuple(dict.fromkeys(unknown)))
    seconds = _play(running, waiting, gpus, cpu_slots)
    stuck = () if seconds is not None else ("some wait for one another",)
    return QueueEnd(len(everything), len(gpus), on_cpu, seconds, stuck)


def _play(running: Sequence[Task], waiting: Sequence[Task], gpus: Collection[str], cpu_slots: int) -> float | None:
    """When the last one ends, in seconds from now; None where some can never begin."""
    active = {task: task.seconds or 0.0 for task in running}
    left = list(waiting)
    now = 0.0
    while left or active:
        for task, chosen in _start(left, active, gpus, cpu_slots):
            left.remove(task)
            active[replace(task, gpus=chosen)] = now + (task.seconds or 0.0)
        if not active:
            return None
        first = min(active, key=lambda task: active[task])
        now = active.pop(first)
    return now


def _start(
    left: Sequence[Task], active: Collection[Task], gpus: Collection[str], cpu_slots: int
) -> list[tuple[Task, tuple[str, ...]]]:
    """Those that begin now, each with its GPUs. One that needs more than are free keeps these from those behind it."""
    sharing = Counter(uuid for task in active if task.slots > 1 for uuid in task.gpus)
    taken = {uuid for task in active if task.slots == 1 for uuid in task.gpus}
    slots = cpu_slots - sum(not task.count for task in active)
    unfinished = {task.id for task in (*left, *active)}
    starting: list[tuple[Task, tuple[str, ...]]] = []
    for task in left:
        if not unfinished.isdisjoint(task.after):
            continue
        if not task.count:
            if slots > 0:
                slots -= 1
                starting.append((task, ()))
            continue
        free = [uuid for uuid in _usable(task, gpus) if uuid not in taken and sharing[uuid] < task.slots]
        if len(free) >= task.count:
            free = sorted(free, key=lambda uuid: not sharing[uuid])[: task.count]
            starting.append((task, tuple(free)))
        elif len(task.gpus) == task.count:  # those that it names are kept for it, whoever shares them now
            free = list(task.gpus)
        if task.slots > 1:
            sharing.update(free)
        else:
            taken.update(free)
    return starting


def _usable(task: Task, gpus: Collection[str]) -> list[str]:
    return [uuid for uuid in task.gpus if uuid in gpus]


def _short_of(task: Task, gpus: Collection[str]) -> str:
    some = len(_usable(task, gpus))
    return f"{task.name} needs {_count(task.count, 'GPU')}, and {some or 'none'} of those that it may have can be used"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
