"""Killed by the kernel for want of memory, or perhaps not: what the control group says."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from xray_tui.jobs.model.job import State
from xray_tui.jobs.supervise.oom import oom_kills
from xray_tui.jobs.supervise.outcome import judge


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


def test_a_container_that_is_told_its_path_on_the_host_looks_at_its_root(tmp_path: Path) -> None:
    group(tmp_path, "", "memory.events", "oom_kill 5\n")
    assert oom_kills("0::/system.slice/docker-4711.scope\n", tmp_path) == 5
    assert oom_kills("0::/../../escape\n", tmp_path) == 5


@pytest.mark.parametrize("own", ["", "0::/gone\n", "nonsense"])
def test_where_nothing_is_told_nothing_is_known(tmp_path: Path, own: str) -> None:
    assert oom_kills(own, tmp_path) is None


def test_a_killed_engine_says_by_whom_as_far_as_is_known() -> None:
    kill = -signal.SIGKILL
    assert judge(kill, None, None, "", oom_killed=True).cause == "killed by the kernel: out of memory"
    assert judge(kill, None, None, "").cause == "killed by SIGKILL (perhaps out of memory)"
    assert judge(-signal.SIGSEGV, None, None, "", oom_killed=True).cause == "killed by SIGSEGV"
    stopped = judge(kill, None, "ana", "", oom_killed=True)
    assert (stopped.state, stopped.cause) == (State.STOPPED, "stopped by ana; it had to be killed")
