"""What the doctor says of the files in the lock folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xray_tui.doctor.checks.folders import judge_mutex
from xray_tui.doctor.findings import Mark
from xray_tui.jobs.locks.lock_dir import LockDir, find_lock_dir


@pytest.fixture
def leases(tmp_path: Path) -> LockDir:
    found = find_lock_dir(str(tmp_path / "leases"))
    with found.mutex():
        return found


def test_nothing_is_said_of_a_folder_that_is_as_it_should_be(leases: LockDir) -> None:
    assert judge_mutex(leases, 0.0) == []


def test_a_mutex_that_cannot_be_opened_is_bad_with_its_path_and_the_reason(leases: LockDir) -> None:
    leases.lock.unlink()
    os.mkfifo(leases.lock)
    (found,) = judge_mutex(leases, 0.0)
    assert (found.mark, found.found) == (Mark.BAD, f"{leases.lock}: not a regular file")
