"""The queue: one ticket file per waiting job, ordered by priority and a counter, not by a clock.

A ticket's file name is `<priority>.<number>.<job>`, lower first; its content is the job's request. A ticket is alive
while the supervisor lock of its job is held; dead tickets are skipped. A ticket file that does not belong to the user
of the job is ignored.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from engine.contract.text import clean
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.gpu_policy import GpuPolicy, from_values
from xray_tui.jobs.model.job import Job, parse_object
from xray_tui.jobs.queue.admission import kept_place
from xray_tui.system import process
from xray_tui.system.safe_files import read_small

_LAST = 10**12 - 1
"""The largest number that fits a name. It is ignored when counting, because only a forged ticket can have it."""

_NAME = re.compile(r"(\d{2})\.(\d{12})\.([0-9a-z-]{1,40})")


@dataclass(frozen=True, slots=True, order=True)
class Ticket:
    """A waiting job's place in the queue. Tickets sort in the order in which they are served."""

    priority: int
    number: int
    job: str
    gpu: str = field(compare=False)
    """"auto", "none", or the UUIDs of GPUs, separated by commas."""
    user: str = field(compare=False)
    count: int = field(default=1, compare=False)
    """Number of GPUs for "auto", all taken at once."""
    terms: GpuPolicy = field(default=GpuPolicy(), compare=False)
    since: float | None = field(default=None, compare=False)
    """Seconds since the epoch at which a multi-GPU ticket reached the head of the queue and its reservation started."""

    @property
    def fixed(self) -> tuple[str, ...]:
        """UUIDs of the GPUs that the job names."""
        return () if self.gpu in ("auto", "none") else tuple(self.gpu.split(","))

    @property
    def shares(self) -> bool:
        """Whether the job takes a slot of a GPU instead of the whole GPU."""
        return self.terms.shares(self.gpu, self.count)

    @property
    def needs(self) -> int:
        """Number of GPUs that the job takes, all at once."""
        return 0 if self.gpu == "none" else len(self.fixed) or self.count

    @property
    def name(self) -> str:
        return f"{self.priority:02d}.{self.number:012d}.{self.job}"


def ticket_of(job: Job) -> Ticket:
    """The ticket in the job's job.json. Raises ValueError if it is invalid."""
    match = _NAME.fullmatch(job.ticket)
    if match is None or match[3] != job.id:
        raise ValueError(f"ticket: {job.ticket!r:.60}: expected a ticket of job {job.id}")
    return Ticket(int(match[1]), int(match[2]), job.id, job.wants, job.user, job.spec.gpu_count, job.terms)


class Queue:
    """The tickets in a lock folder. Call `new_number` under the folder's mutex."""

    def __init__(self, lock_dir: LockDir) -> None:
        self._dir = lock_dir
        self._tickets: dict[str, Ticket] = {}

    def waiting(self) -> list[Ticket]:
        """All tickets, including dead ones, in the order in which they are served. Each file is read once, because its
        content never changes; only the `since` of multi-GPU tickets is read again."""
        names = [name for name in os.listdir(self._dir.queue) if _NAME.fullmatch(name)]  # noqa: PTH208
        self._tickets = {
            name: ticket for name in names if (ticket := self._tickets.get(name) or self._read(name)) is not None
        }
        in_order = (self._tickets[name] for name in sorted(self._tickets))  # faster than sorting tickets, same order
        return [self._dated(ticket) if ticket.needs > 1 else ticket for ticket in in_order]

    def ticket_for(self, job: Job, folder: Path) -> Ticket:
        """The ticket in job.json, at its current place in the queue, or at the place saved by the owner while the job
        is kept out of the queue. Raises ValueError if job.json has no valid ticket."""
        recorded = ticket_of(job)
        for ticket in self._own(job.id):
            return replace(recorded, priority=ticket.priority, number=ticket.number, since=ticket.since)
        priority, number = kept_place(folder) or (recorded.priority, recorded.number)
        return replace(recorded, priority=priority, number=number)

    def has(self, job: Job) -> bool:
        return bool(self._own(job.id))

    def is_alive(self, ticket: Ticket) -> bool:
        return file_lock.is_held(self._dir.supervised(ticket.job))

    def new_number(self) -> int:
        """The next ticket's number. Works with a damaged `seq`, because the numbers in the queue count too."""
        descriptor = os.open(self._dir.seq, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "r+b", 0) as file:  # in place: a sticky folder forbids replacing another user's file
            text = file.read(32).strip()
            used = [int(text) if text.isdigit() else 0, *(ticket.number for ticket in self.waiting())]
            number = max((number for number in used if number < _LAST), default=0) + 1
            file.seek(0)
            file.write(b"%012d\n" % number)
            file.truncate()
        return number

    def put(self, ticket: Ticket) -> None:
        """Write the ticket file, readable by all users, unless it exists."""
        values = {"gpu": ticket.gpu, "user": ticket.user, "count": ticket.count, "terms": asdict(ticket.terms)}
        path = self._dir.queue / ticket.name
        if file_lock.place(path, json.dumps(values).encode(), 0o644) and ticket.needs > 1:
            os.utime(path, (0, 0))  # time 0 means not yet at the head

    def reaches_head(self, ticket: Ticket, now: float) -> None:
        """Record the time at which a multi-GPU ticket reached the head of the queue, unless it is recorded already."""
        if ticket.needs > 1 and ticket.since is None:
            os.utime(self._dir.queue / ticket.name, (now, now))

    def move(self, ticket: Ticket, priority: int, number: int) -> None:
        """Move the ticket to another place, under the mutex. Raises OSError (FileNotFoundError if withdrawn)."""
        moved = replace(ticket, priority=priority, number=number)
        if moved.name != ticket.name:
            (self._dir.queue / ticket.name).rename(self._dir.queue / moved.name)

    def withdraw(self, job: str) -> None:
        """Remove the tickets of this user's job, if there are any. Raises OSError."""
        for ticket in self._own(job):
            (self._dir.queue / ticket.name).unlink(missing_ok=True)

    def _own(self, job: str) -> list[Ticket]:
        """The job's tickets, normally one, without those that belong to other users."""
        own = []
        for ticket in self.waiting():
            with contextlib.suppress(FileNotFoundError):
                if ticket.job == job and (self._dir.queue / ticket.name).lstat().st_uid == os.getuid():
                    own.append(ticket)
        return own

    def _read(self, name: str) -> Ticket | None:
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        try:
            owner = (self._dir.queue / name).lstat().st_uid
            with contextlib.suppress(FileNotFoundError):  # no supervisor lock: a dead job
                if owner != self._dir.supervised(match[3]).lstat().st_uid:
                    return None
            values = parse_object(read_small(self._dir.queue / name, 4096))
        except OSError:
            return None  # just withdrawn, or not readable
        gpu, count, terms = values.get("gpu"), values.get("count"), values.get("terms")
        if not isinstance(gpu, str):
            return None
        return Ticket(
            int(match[1]),
            int(match[2]),
            match[3],
            clean(gpu),
            process.user_name(owner),
            count if isinstance(count, int) and 0 < count < 1000 else 1,
            from_values(terms),
        )

    def _dated(self, ticket: Ticket) -> Ticket:
        try:
            time = (self._dir.queue / ticket.name).stat().st_mtime
        except OSError:
            return ticket
        return replace(ticket, since=time or None)


def others(lock_dir: LockDir | None, ours: Collection[str]) -> tuple[Ticket, ...]:
    """The living tickets of jobs whose ids are not in `ours`, in order; none without a lock folder. Raises OSError."""
    if lock_dir is None:
        return ()
    queue = Queue(lock_dir)
    return tuple(ticket for ticket in queue.waiting() if ticket.job not in ours and queue.is_alive(ticket))


def in_words(tickets: Sequence[Ticket]) -> str:
    """`3 other jobs wait (ana 2, bo 1)`; empty if there are no tickets."""
    if not tickets:
        return ""
    users = Counter(ticket.user for ticket in tickets)
    names = ", ".join(f"{user} {count}" for user, count in users.most_common())
    return f"{'1 other job waits' if len(tickets) == 1 else f'{len(tickets)} other jobs wait'} ({names})"
