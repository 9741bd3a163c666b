"""What the doctor says of the files in the lease folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xray_tui.doctor.checks import locks
from xray_tui.doctor.checks.locks import crowd, held_mutex
from xray_tui.doctor.report import Mark
from xray_tui.jobs.locks.lock_dir import LeaseDir, find_lease_dir
from xray_tui.system import process


@pytest.fixture
def leases(tmp_path: Path) -> LeaseDir:
    found = find_lease_dir(str(tmp_path / "leases"))
    with found.mutex():
        return found


def test_nothing_is_said_of_a_folder_that_is_as_it_should_be(leases: LeaseDir) -> None:
    assert [*held_mutex(leases, 0.0), *crowd(leases)] == []


def test_thousands_of_tickets_are_told_with_their_owner(leases: LeaseDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "MANY", 3)
    for number in range(4):
        (leases.queue / f"50.{number:012d}.gone").touch()
    (found,) = crowd(leases)
    assert found.mark is Mark.WARN
    assert found.found == f"4 tickets in {leases.queue}, 4 of them of {process.user()}"


def test_a_mutex_that_cannot_be_opened_is_bad_with_its_path_and_the_reason(leases: LeaseDir) -> None:
    leases.lock.unlink()
    os.mkfifo(leases.lock)
    (found,) = held_mutex(leases, 0.0)
    assert (found.mark, found.found) == (Mark.BAD, f"{leases.lock}: not a regular file")
