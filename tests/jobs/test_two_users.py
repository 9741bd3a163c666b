"""Real users on one machine, who share a lock folder: jobs of others are seen, served in order, and not touched."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from engine.contract.names import JOBS
from xray_tui.doctor.checks.folders import judge_jobs, judge_leases, judge_mutex
from xray_tui.doctor.findings import Mark
from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot, to_json
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LOCK_DIR_ENV, LockDir
from xray_tui.jobs.model.job import Job, State
from xray_tui.jobs.queue.tickets import others
from xray_tui.jobs.storage.job_store import JobStore

from .conftest import eventually, gpu
from .users import User, all_ready, become, need_users, unused_uids

HOLDS = """import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print(flush=True)
time.sleep(600)"""


@dataclass
class Server:
    """Two users of one group, GPUs that they share, and a place for their leases."""

    folder: Path
    alice: User
    """Careful: her umask is 077."""
    bob: User

    @property
    def leases(self) -> LockDir:
        return LockDir(self.folder / "leases")

    @property
    def go(self) -> Path:
        """Once it is there, jobs end."""
        return self.folder / "go"

    def shared_runs(self) -> Path:
        """A runs folder that the group may write to."""
        runs = self.folder / "runs"
        runs.mkdir()
        os.chown(runs, 0, self.alice.group)
        runs.chmod(0o2770)
        return runs

    def have(self, *gpus: GpuSample) -> None:
        """From now on these are the machine's GPUs."""
        fresh = self.folder / "gpus.new"
        fresh.write_text(json.dumps(to_json(GpuSnapshot(gpus))))
        fresh.chmod(0o644)
        fresh.rename(self.folder / "gpus.json")

    def ask(self, user: User, runs: Path | None = None, **wishes: object) -> None:
        """The user launches a job that works until `go`."""
        user.send({"runs": str(runs or user.home / "runs"), "leases": str(self.leases.path), "gpu": "auto", "run": "a",
                   "argv": ["until", str(self.go)], "priority": 50, **wishes})  # fmt: skip

    def launch(self, user: User, runs: Path | None = None, **wishes: object) -> Job:
        self.ask(user, runs, **wishes)
        answer = user.hear()
        assert "job" in answer, answer
        return JobStore(runs or user.home / "runs").get(answer["job"])

    @contextmanager
    def held(self, user: User, path: Path) -> Iterator[int]:
        """A process of the user's holds the lock; its pid."""
        words = [*become(user.uid, user.group), need_users(), "-S", "-c", HOLDS, str(path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, cwd="/") as process:
            assert process.stdout is not None
            try:
                process.stdout.readline()
                yield process.pid
            finally:
                process.kill()


@pytest.fixture
def server() -> Iterator[Server]:
    need_users()
    # Not in pytest's own folder, into which no other user can look.
    with tempfile.TemporaryDirectory(prefix="two-users-") as name:
        folder = Path(name)
        folder.chmod(0o1777)
        gpus = folder / "gpus.json"
        first, second = unused_uids(2)
        more = {LOCK_DIR_ENV: str(folder / "leases")}
        alice = User.come(first, first, folder / "alice", gpus, 0o077, **more)
        bob = User.come(second, first, folder / "bob", gpus, 0o022, **more)
        try:
            all_ready((alice, bob))
            server = Server(folder, alice, bob)
            server.have(gpu(0))
            yield server
        finally:
            alice.leave()
            bob.leave()


def now(job: Job) -> Job:
    return JobStore(Path(job.folder).parent.parent).get(job.id)


def until(job: Job, *states: State) -> Job:
    eventually(lambda: now(job).state in states, f"{job.id}: {now(job)}, not {states}")
    return now(job)


def until_waiting(job: Job, words: str) -> None:
    eventually(lambda: words in (now(job).waits or ""), f"{words!r}, but {now(job).waits!r}")


def test_users_who_launch_first_at_once_share_one_folder_and_its_order(server: Server) -> None:
    alice, bob = server.alice, server.bob
    server.ask(alice)
    server.ask(bob)
    first = [JobStore(user.home / "runs").get(user.hear()["job"]) for user in (alice, bob)]
    later = [server.launch(user, run=f"run_{number}") for number, user in enumerate((bob, alice, bob))]
    assert {path.stat().st_mode & 0o7777 for path in server.leases.path.iterdir() if path.is_dir()} == {0o1777}
    eventually(lambda: sum(now(job).state is State.RUNNING for job in first) == 1, "one of the first two")
    assert all(now(job).state is State.QUEUED for job in later)
    eventually(lambda: now(later[-1]).waits == "3 jobs before it", "its place")
    seen = alice.command("jobs", "--runs", alice.home / "runs")
    assert f"{bob.name} " in seen.stderr  # as one who waits
    server.go.touch()
    jobs = [until(job, State.SUCCEEDED) for job in (*first, *later)]
    began = sorted(jobs, key=lambda job: job.started or 0.0)
    assert [job.id for job in began] == [job.id for job in sorted(jobs, key=lambda job: job.ticket)]


def test_in_a_runs_folder_that_a_group_shares_jobs_of_others_are_seen_and_not_touched(server: Server) -> None:
    alice, bob = server.alice, server.bob
    runs = server.shared_runs()
    runs_now = until(server.launch(alice, runs, run="works"), State.RUNNING)
    waits = server.launch(alice, runs, run="waits")
    server.launch(bob, runs, run="his")
    for words in (
        ("stop", waits.id, runs_now.id),
        ("hold", waits.id),
        ("release", waits.id),
        ("move", waits.id, "down"),
    ):
        refused = bob.command(words[0], "--runs", runs, *words[1:])
        assert refused.returncode == 2
        assert f"{waits.id}: is a job of {alice.name}; only they can {words[0]} it" in refused.stderr
    taken = bob.does('cd "$1/.jobs" && ! mv "$2" x && ! rm -r "$2" && ! echo "{}" > "$2/stop.json"', runs, waits.id)
    assert taken.returncode == 0, taken
    seen = bob.command("jobs", "--runs", runs)
    assert seen.returncode == 0
    assert f"{waits.id}  evaluate  queued   waits ({alice.name})  " in seen.stdout
    assert "his   " in seen.stdout
    bob.command("jobs", "--runs", runs)  # which is a look: he judges nothing of hers
    assert now(waits).state is State.QUEUED
    assert now(runs_now).state is State.RUNNING
    stopped = alice.command("stop", "--runs", runs, waits.id)
    assert stopped.returncode == 0, stopped.stderr
    until(waits, State.STOPPED)


def test_a_process_that_holds_the_mutex_is_named_by_its_pid(server: Server) -> None:
    bob = server.bob
    until(server.launch(bob), State.RUNNING)
    with server.held(bob, server.leases.lock) as pid:
        with pytest.raises(file_lock.Busy, match=f"now by pid {pid}$"), server.leases.mutex(patience=0.0):
            pass
        (found,) = judge_mutex(server.leases, patience=0.0)
        assert (found.mark, f"now by pid {pid}" in found.found) == (Mark.BAD, True)
    assert judge_mutex(server.leases) == []


def test_a_lock_that_another_user_has_replaced_is_said_with_its_path_until_it_is_gone(server: Server) -> None:
    alice, bob = server.alice, server.bob
    until(server.launch(bob, gpu="none", argv=["succeed"]), State.SUCCEEDED)
    lock = server.leases.gpu("GPU-0")
    bob.does('ln -s /etc/passwd "$1"', lock)
    waits = server.launch(alice)
    until_waiting(waits, f"{lock}: {os.strerror(errno.ELOOP)}")
    bob.does('rm "$1"', lock)
    until(waits, State.RUNNING)


def test_a_folder_whose_locks_anybody_can_remove_is_bad(server: Server) -> None:
    server.launch(server.bob, gpu="none")
    judged = partial(judge_leases, server.leases.path, "ext4", exists=True, is_private=False, in_container=False)
    assert judged().mark is not Mark.BAD
    server.leases.path.chmod(0o777)
    assert (judged().mark, server.bob.name in judged().remedy) == (Mark.BAD, True)


def test_the_jobs_folder_is_as_open_as_the_runs_folder_whatever_the_umask(server: Server) -> None:
    jobs = server.shared_runs() / JOBS
    server.launch(server.alice, jobs.parent)  # of umask 077
    assert (stat.S_IMODE(jobs.stat().st_mode), judge_jobs(jobs)) == (0o3770, None)
    jobs.chmod(0o770)
    told = judge_jobs(jobs)
    assert told is not None
    assert "(mode 0770): users with write access can replace others' jobs" in told.found
    jobs.chmod(0o700)
    seen = server.bob.command("jobs", "--runs", jobs.parent)
    assert (seen.returncode, seen.stderr) == (1, f"xray-tui: {jobs}: Permission denied\n")
    own = server.alice.home / "runs"
    server.launch(server.alice, own)
    assert stat.S_IMODE((own / JOBS).stat().st_mode) == stat.S_IMODE(own.stat().st_mode)


def test_a_ticket_in_the_name_of_anothers_job_counts_for_nobody(server: Server) -> None:
    alice, bob = server.alice, server.bob
    works = until(server.launch(alice), State.RUNNING)
    hers = server.launch(alice, run="hers")
    his = server.launch(bob, run="his")
    forged = bob.does(
        'cd "$1" && for place in 00.000000000001 99.000000000001; do cp *."$2" "$place.$2"; done; '
        'printf %s "{\\"gpu\\": \\"auto\\", \\"user\\": \\"$3\\"}" > 00.000000000002.none',
        server.leases.queue, hers.id, alice.name,
    )  # fmt: skip
    assert forged.returncode == 0, forged
    assert [(ticket.job, ticket.user) for ticket in others(server.leases, {works.id})] == [
        (hers.id, alice.name),
        (his.id, bob.name),
    ]
    moved = alice.command("move", "--runs", alice.home / "runs", hers.id, 60)
    assert moved.returncode == 0, moved.stderr
    until_waiting(hers, "1 job before it")
    server.go.touch()
    until(hers, State.SUCCEEDED)
    assert (now(his).started or 0.0) < (now(hers).started or 0.0)
