"""Waiting jobs of other users and other runs folders on this machine (read-only)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from xray_tui.jobs.locks.lock_dir import LeaseDir
from xray_tui.jobs.queue.tickets import Queue, Ticket


def others(lease_dir: LeaseDir | None, ours: Collection[str]) -> tuple[Ticket, ...]:
    """The living tickets of jobs whose ids are not in `ours`, in order; none without a lease folder. Raises OSError."""
    if lease_dir is None:
        return ()
    queue = Queue(lease_dir)
    return tuple(ticket for ticket in queue.waiting() if ticket.job not in ours and queue.is_alive(ticket))


def in_words(tickets: Sequence[Ticket]) -> str:
    """`3 other jobs wait (ana 2, bo 1)`; empty without tickets."""
    if not tickets:
        return ""
    users = Counter(ticket.user for ticket in tickets)
    names = ", ".join(f"{user} {count}" for user, count in users.most_common())
    return f"{'1 other job waits' if len(tickets) == 1 else f'{len(tickets)} other jobs wait'} ({names})"
