"""What the doctor says of the files in the lease folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from xray_tui.doctor import lease_files
from xray_tui.doctor.finding import Mark
from xray_tui.doctor.lease_files import crowd, held_mutex, traps
from xray_tui.jobs import process
from xray_tui.jobs.holder import holder
from xray_tui.jobs.lease_dir import LeaseDir, find_lease_dir


@pytest.fixture
def leases(tmp_path: Path) -> LeaseDir:
    found = find_lease_dir(str(tmp_path / "leases"))
    with found.mutex():
        return found


def test_nothing_is_said_of_a_folder_that_is_as_it_should_be(leases: LeaseDir) -> None:
    assert [*traps(leases), *held_mutex(leases, 0.0), *crowd(leases)] == []


def test_thousands_of_tickets_are_told_with_their_owner(leases: LeaseDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_files, "MANY", 3)
    for number in range(4):
        (leases.queue / f"50.{number:012d}.gone").touch()
    (found,) = crowd(leases)
    assert found.mark is Mark.WARN
    assert found.found == f"4 tickets in {leases.queue}, 4 of them of {process.user()}"


def test_those_who_share_a_lock_are_counted_and_one_that_has_gone_is_none(leases: LeaseDir, tmp_path: Path) -> None:
    with leases.lock.open("rb") as one, leases.lock.open("rb") as other:
        fcntl.flock(one, fcntl.LOCK_SH)
        fcntl.flock(other, fcntl.LOCK_SH)
        told = holder(leases.lock)
        assert told is not None
        assert told.endswith(f"({process.user()}) and 1 more")
    assert holder(leases.lock) is None
    locks = tmp_path / "locks"
    status = leases.lock.stat()
    major, minor = os.major(status.st_dev), os.minor(status.st_dev)
    line = f"FLOCK  ADVISORY  WRITE {1 << 30} {major:02x}:{minor:02x}:{status.st_ino} 0 EOF\n"
    locks.write_text(f"1: {line}1: -> {line}")  # the second waits for the first
    assert holder(leases.lock, locks) == f"pid {1 << 30}, which is gone or hidden"
