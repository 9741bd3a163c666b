"""A disk that fills up, a clock that is set back, files that others leave behind: jobs on bad days."""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.conftest import Place, eventually, gpu
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.job import State
from xray_tui.jobs.queue.tickets import Queue

HERE = Path(__file__).parent


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.clear()


def test_on_a_full_disk_nothing_is_launched_by_halves_and_no_end_is_forgotten(tmp_path: Path) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    probe = [*alone, "mount", "-t", "tmpfs", "none", str(tmp_path)]
    try:
        subprocess.run(probe, check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a mount namespace of its own (unshare --user --mount), which this machine forbids")
    done = subprocess.run(
        [*alone, sys.executable, HERE / "small_disk.py", tmp_path], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["full"]
    assert told["on_full_disk"] in (State.STARTING, State.RUNNING, State.FAILED), "as far as there was room to say so"
    assert "No space left on device; the job was not launched" in told["refused"]
    assert told["listed"], "nothing is left of a launch that failed"
    assert told["tickets"]
    assert told["filler"] == ["failed", "exit code 5"]
    assert told["waiting"] == "succeeded"


def test_where_no_file_can_be_written_a_launch_says_so_and_leaves_nothing(place: Place) -> None:
    environment = {**os.environ, "XRAY_TUI_LEASE_DIR": str(place.leases), "XDG_CONFIG_HOME": str(place.folder)}
    LockDir(place.leases)
    place.until(place.launch("succeed"))  # makes the lock folder
    command = [sys.executable, "-m", "xray_tui.cli.main", "launch", "command", "--runs", place.runs, "--run", "a",
               "--gpu", "none", "--", "true"]  # fmt: skip
    code = "import sys; from xray_tui.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, *map(str, command[3:])],  # else Python leaves cut-off .pyc files behind
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)),
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "the job was not launched" in done.stderr
    assert len(place.store.jobs()) == 1
    assert Queue(LockDir(place.leases)).waiting() == []


def test_a_clock_that_is_set_back_changes_no_order(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.have(gpu(0))
    first = place.launch("until", tmp_path / "go", gpu="auto")
    place.until_working(first)
    now = time.time()
    backwards = itertools.count(-86400, -86400)
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: now + next(backwards))
        waiting = [place.launch("note", tmp_path / "served", name, gpu="auto", run=name) for name in "abc"]
    assert place.store.jobs()[0].id == first.id, "by their clocks they are older"
    (tmp_path / "go").touch()
    for job in waiting:
        assert place.until(job).state is State.SUCCEEDED
    assert (tmp_path / "served").read_text().split() == ["a", "b", "c"]


def test_a_ticket_that_a_cleaner_removed_is_put_back_and_served_in_its_place(place: Place, tmp_path: Path) -> None:
    place.have(gpu(0))
    first = place.launch("until", tmp_path / "go", gpu="auto")
    place.until_working(first)
    waiting = [place.launch("note", tmp_path / "served", name, gpu="auto", run=name) for name in "ab"]
    queue = Queue(LockDir(place.leases))
    for ticket in queue.waiting():
        queue.withdraw(ticket.job)
    eventually(lambda: [ticket.job for ticket in queue.waiting()] == [job.id for job in waiting], "the tickets")
    (tmp_path / "go").touch()
    for job in waiting:
        assert place.until(job).state is State.SUCCEEDED
    assert (tmp_path / "served").read_text().split() == ["a", "b"]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"state": "queued"}', b"\x00" * 4096, b'{"by": 1}'])
def test_wishes_and_records_that_are_damaged_stop_no_job_from_ending(
    place: Place, tmp_path: Path, damage: bytes
) -> None:
    job = place.until_working(place.launch("until", tmp_path / "go"))
    folder = place.store.folder(job.id)
    for name in ("progress.json", "hold.json", "release.json", "on_end.json"):
        (folder / name).write_bytes(damage)
    (tmp_path / "go").touch()
    assert place.until(job).state is State.SUCCEEDED
