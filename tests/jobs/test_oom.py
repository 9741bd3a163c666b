"""Killed by the kernel for lack of memory: the counters of the control group."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from xray_tui.jobs.model.job import Job, JobSpec, State
from xray_tui.jobs.supervise.outcome import conclude
from xray_tui.system.cgroups import oom_kills


def group(root: Path, path: str, name: str, text: str) -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_version_2_counts_in_its_events(tmp_path: Path) -> None:
    group(tmp_path, "user.slice/a.scope", "memory.events", "low 0\nhigh 0\nmax 7\noom 2\noom_kill 3\n")
    assert oom_kills("0::/user.slice/a.scope\n", tmp_path) == 3


def test_version_1_counts_in_its_oom_control(tmp_path: Path) -> None:
    group(tmp_path, "memory/docker/x", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    assert oom_kills("5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n", tmp_path) == 1


def test_a_container_that_knows_its_path_on_the_host_is_read_at_its_root(tmp_path: Path) -> None:
    group(tmp_path, "", "memory.events", "oom_kill 5\n")
    assert oom_kills("0::/system.slice/docker-4711.scope\n", tmp_path) == 5
    assert oom_kills("0::/../../escape\n", tmp_path) == 5


@pytest.mark.parametrize("own", ["", "0::/gone\n", "nonsense"])
def test_without_a_counter_the_number_is_unknown(tmp_path: Path, own: str) -> None:
    assert oom_kills(own, tmp_path) is None


def test_a_killed_engine_says_what_killed_it(tmp_path: Path) -> None:
    job = Job("id", JobSpec("train", "a", ()), State.RUNNING)

    def cause(status: int, by: str | None = None, oom_killed: bool = True) -> str | None:
        return conclude(job, tmp_path, status, by, True, oom_killed).cause

    assert cause(-signal.SIGKILL) == "killed by the kernel: out of memory"
    assert cause(-signal.SIGKILL, oom_killed=False) == "killed by SIGKILL"
    assert cause(-signal.SIGSEGV) == "killed by SIGSEGV"
    assert cause(-signal.SIGKILL, "ana") == "stopped by ana; it had to be killed"
