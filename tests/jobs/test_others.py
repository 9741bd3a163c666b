"""Jobs of others on the same machine: seen, never touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from xray_tui.jobs.actions.queue_actions import move
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.queue.tickets import Ticket, in_words, others

from .conftest import Place, gpu


def test_who_waits_is_told_in_a_few_words() -> None:
    tickets = [Ticket(50, number, f"j{number}", "auto", user) for number, user in enumerate(("bo", "ana", "bo"))]
    assert in_words(tickets) == "3 other jobs wait (bo 2, ana 1)"
    assert in_words(tickets[:1]) == "1 other job waits (bo 1)"
    assert in_words([]) == ""


def test_jobs_of_another_runs_folder_are_seen_as_long_as_they_live(place: Place, tmp_path: Path) -> None:
    place.have(gpu(0))
    (tmp_path / "other").mkdir()
    other = Place(tmp_path / "other")
    other.leases = place.leases
    other.have(gpu(0))
    try:
        place.until_working(place.launch("until", tmp_path / "go", gpu="auto"))
        theirs = other.launch("succeed", gpu="auto")
        ours = place.launch("succeed", gpu="auto")
        known = {job.id for job in place.store.jobs()}
        assert [ticket.job for ticket in others(LockDir(place.leases), known)] == [theirs.id]
        with pytest.raises(BadInput, match="no such job"):
            move(place.store, theirs.id, 1)
        other.kill_supervisor(theirs)
        assert others(LockDir(place.leases), known) == ()
        place.until_waiting(ours, "GPU 0 is used by a job")
    finally:
        other.clear()


def test_nobody_waits_where_no_lease_folder_was_ever_made() -> None:
    assert others(None, ()) == ()
