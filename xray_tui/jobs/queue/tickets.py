"""The queue: one ticket file a waiting job, in an order that no clock decides.

A ticket's name is `<priority>.<number>.<job>`, lower first; its content says what the job needs. A ticket is alive
while the `.sup` lock of its job is held; dead ones are passed over. Whose a ticket is, its file's owner says: one that
somebody has put there in the name of another's job counts for nothing.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.contract.text import clean
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LeaseDir
from xray_tui.jobs.model.gpu_policy import Terms, from_values, to_values
from xray_tui.jobs.model.job import Job, parse_object
from xray_tui.jobs.queue.admission import kept_place
from xray_tui.system import process
from xray_tui.system.safe_files import read_small

_LAST = 10**12 - 1
"""The largest number that a name can hold. Whoever reaches it has not counted, and nobody counts on from there."""

_NAME = re.compile(r"(\d{2})\.(\d{12})\.([0-9a-z-]{1,40})")


@dataclass(frozen=True, slots=True, order=True)
class Ticket:
    """A waiting job's place in the queue. Tickets sort in the order in which they are served."""

    priority: int
    number: int
    job: str
    gpu: str = field(compare=False)
    """"auto", "none", or the UUIDs of GPUs with commas between."""
    user: str = field(compare=False)
    count: int = field(default=1, compare=False)
    """GPUs that "auto" takes, all at once."""
    terms: Terms = field(default=Terms(), compare=False)
    since: float | None = field(default=None, compare=False)
    """When a ticket of several GPUs first stood before all others; it keeps GPUs free for some hours from then on."""

    @property
    def fixed(self) -> tuple[str, ...]:
        """UUIDs of the GPUs that it names."""
        return () if self.gpu in ("auto", "none") else tuple(self.gpu.split(","))

    @property
    def shares(self) -> bool:
        """Whether it takes a slot of a GPU, and not all of it."""
        return self.terms.shares(self.gpu, self.count)

    @property
    def needs(self) -> int:
        """How many GPUs it takes, all at once; 0 for none."""
        return 0 if self.gpu == "none" else len(self.fixed) or self.count

    @property
    def name(self) -> str:
        return f"{self.priority:02d}.{self.number:012d}.{self.job}"


def ticket_of(job: Job) -> Ticket:
    """The ticket that a job was given. Raises ValueError where job.json holds none."""
    match = _NAME.fullmatch(job.ticket)
    if match is None or match[3] != job.id:
        raise ValueError(f"ticket: {job.ticket!r:.60} is none of this job")
    return Ticket(int(match[1]), int(match[2]), job.id, job.wants, job.user, job.spec.gpu_count, job.terms)


class Queue:
    """The tickets in a lease folder. Numbers are given under the folder's mutex."""

    def __init__(self, lease_dir: LeaseDir) -> None:
        self._dir = lease_dir
        self._known: dict[str, Ticket] = {}

    def waiting(self) -> list[Ticket]:
        """All tickets, dead ones too, the first to be served first. What a ticket asks for never changes, so each is
        read once; since when it stands at the head is its file's time."""
        names = [name for name in os.listdir(self._dir.queue) if _NAME.fullmatch(name)]  # noqa: PTH208
        self._known = {
            name: ticket for name in names if (ticket := self._known.get(name) or self._read(name)) is not None
        }
        in_order = (self._known[name] for name in sorted(self._known))  # names sort as tickets do, and faster
        return [self._dated(ticket) if ticket.needs > 1 else ticket for ticket in in_order]

    def ticket_for(self, job: Job, folder: Path) -> Ticket:
        """The job's ticket where it is now in the queue; for a job that is kept out of the queue, at the place that its
        owner has moved it to; else as it was given. Raises ValueError where it was given none."""
        given = ticket_of(job)
        for ticket in self._own(job.id):
            return replace(given, priority=ticket.priority, number=ticket.number, since=ticket.since)
        priority, number = kept_place(folder) or (given.priority, given.number)
        return replace(given, priority=priority, number=number)

    def has(self, job: Job) -> bool:
        """Whether the job has a ticket in the queue."""
        return bool(self._own(job.id))

    def is_alive(self, ticket: Ticket) -> bool:
        return file_lock.is_held(self._dir.supervised(ticket.job))

    def new_number(self) -> int:
        """The next ticket's number. A damaged `seq` is no harm: the numbers in the queue are looked at too."""
        descriptor = os.open(self._dir.seq, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            text = os.pread(descriptor, 32, 0).strip()
            given = [int(text) if text.isdigit() else 0, *(ticket.number for ticket in self.waiting())]
            number = max((number for number in given if number < _LAST), default=0) + 1
            text = b"%012d\n" % number
            os.pwrite(descriptor, text, 0)  # in place: a sticky folder forbids renaming over another's
            os.ftruncate(descriptor, len(text))
        finally:
            os.close(descriptor)
        return number

    def put(self, ticket: Ticket) -> None:
        """Queue the ticket, readable for everybody. To put back one that is there is no harm."""
        content = json.dumps(
            {"gpu": ticket.gpu, "user": ticket.user, "count": ticket.count, "terms": to_values(ticket.terms)}
        )
        path = self._dir.queue / ticket.name
        if file_lock.place(path, content.encode(), 0o644) and ticket.needs > 1:
            os.utime(path, (0, 0))  # not at the head yet

    def reaches_head(self, ticket: Ticket, now: float) -> Ticket:
        """Note that a ticket of several GPUs stands before all others, unless that is noted already."""
        if ticket.needs <= 1 or ticket.since is not None:
            return ticket
        os.utime(self._dir.queue / ticket.name, (now, now))
        return replace(ticket, since=now)

    def move(self, ticket: Ticket, priority: int, number: int) -> Ticket:
        """Give the ticket another place, under the mutex. Raises OSError; FileNotFoundError where it is served."""
        moved = replace(ticket, priority=priority, number=number)
        if moved.name != ticket.name:
            (self._dir.queue / ticket.name).rename(self._dir.queue / moved.name)
        return moved

    def withdraw(self, job: str) -> None:
        """Take this user's job out of the queue, wherever it stands; that it is gone already is no harm.

        Raises OSError.
        """
        for ticket in self._own(job):
            (self._dir.queue / ticket.name).unlink(missing_ok=True)

    def _own(self, job: str) -> list[Ticket]:
        """The job's tickets, one as a rule; none that another user has put there in its name."""
        return [ticket for ticket in self.waiting() if ticket.job == job and self._is_ours(ticket)]

    def _is_ours(self, ticket: Ticket) -> bool:
        try:
            return (self._dir.queue / ticket.name).lstat().st_uid == os.getuid()
        except FileNotFoundError:
            return False

    def _read(self, name: str) -> Ticket | None:
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        try:
            owner = (self._dir.queue / name).lstat().st_uid
            if owner != self._owner(match[3], owner):
                return None
            values = parse_object(read_small(self._dir.queue / name, 4096))
        except OSError:
            return None  # withdrawn at this moment, or none of ours
        gpu = None if values is None else values.get("gpu")
        if values is None or not isinstance(gpu, str):
            return None
        count, terms = values.get("count"), values.get("terms")
        return Ticket(
            int(match[1]),
            int(match[2]),
            match[3],
            clean(gpu),
            process.user_name(owner),
            count if isinstance(count, int) and 0 < count < 1000 else 1,
            from_values(terms) if isinstance(terms, dict) else Terms(),
        )

    def _owner(self, job: str, without: int) -> int:
        """The user whose job it is, as its `.sup` lock tells; `without` where it has none, and so is dead."""
        try:
            return self._dir.supervised(job).lstat().st_uid
        except FileNotFoundError:
            return without

    def _dated(self, ticket: Ticket) -> Ticket:
        try:
            time = (self._dir.queue / ticket.name).stat().st_mtime
        except OSError:
            return ticket
        return replace(ticket, since=time or None)
