"""Whose supervisor is stopped, as /proc tells of real processes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from xray_tui.jobs import lease, process, stopped
from xray_tui.jobs.lease_dir import LeaseDir, find_lease_dir
from xray_tui.jobs.queue import Ticket
from xray_tui.jobs.stopped import Stopped

from .conftest import eventually

TICKET = Ticket(50, 1, "j1", "auto", "alice")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LeaseDir:
    monkeypatch.setattr(stopped, "PATIENCE", 0.0)
    monkeypatch.setattr(stopped, "EVERY", 0.0)
    return find_lease_dir(str(tmp_path / "leases"))


@pytest.fixture
def holder(folder: LeaseDir) -> Iterator[int]:
    """A process that was handed the lock of the job, as a supervisor is."""
    held = lease.try_lock(folder.supervised("j1"))
    assert held is not None
    with subprocess.Popen(["sleep", "60"], pass_fds=(held,)) as child:
        os.close(held)
        yield child.pid
        child.kill()


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)

    def is_stopped() -> bool:
        known = process.stat(pid)
        return known is not None and known.state == "T"

    eventually(is_stopped, "its stop")


def test_one_that_is_stopped_is_passed_over_until_it_is_continued(folder: LeaseDir, holder: int) -> None:
    seen = Stopped(folder)
    seen.look([TICKET])
    assert not seen.passes_over(TICKET)
    stop(holder)
    assert not seen.passes_over(TICKET), "nobody has looked"
    seen.look([TICKET])
    assert seen.passes_over(TICKET)
    os.kill(holder, signal.SIGCONT)
    eventually(lambda: not seen.passes_over(TICKET), "its going on")
    stop(holder)
    assert not seen.passes_over(TICKET), "its time begins anew"


def test_one_that_is_stopped_for_a_moment_is_waited_for(
    folder: LeaseDir, holder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopped, "PATIENCE", 60.0)
    stop(holder)
    seen = Stopped(folder)
    seen.look([TICKET])
    assert not seen.passes_over(TICKET)


def test_a_stopped_process_beside_one_that_works_stops_nothing(folder: LeaseDir, holder: int) -> None:
    """A launcher that is stopped before it has closed the lock that it hands over."""
    with folder.supervised("j1").open("rb"):
        stop(holder)
        seen = Stopped(folder)
        seen.look([TICKET])
        assert not seen.passes_over(TICKET)


def test_it_does_not_look_each_second(folder: LeaseDir, holder: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopped, "EVERY", 60.0)
    seen = Stopped(folder)
    seen.look([TICKET])
    stop(holder)
    seen.look([TICKET])
    assert not seen.passes_over(TICKET)
