"""The host's line: real looks at this machine, and what is called short."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import psutil
import pytest

from xray_tui.feeds.host_feed import GIB, CpuMeter, Host, HostFeed, read_host, shortages
from xray_tui.system.cgroups import Memory
from xray_tui.system.disk_probe import NO_ANSWER, Disk, DiskProbe

WELL = Host(
    cores=16,
    all_cores=16,
    cpu=50,
    load=8.0,
    memory_used=64 * GIB,
    memory_total=128 * GIB,
    shm_used=0,
    shm_total=64 * GIB,
    disk_free=200 * GIB,
    disk_total=1000 * GIB,
)


@pytest.fixture
def silent_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Event]:
    """From now on the runs folder's disk answers only once the event is set."""
    answers, ask = Event(), os.statvfs

    def statvfs(path: Path) -> os.statvfs_result:
        if path == tmp_path:
            answers.wait()
        return ask(path)

    monkeypatch.setattr(os, "statvfs", statvfs)
    yield answers
    answers.set()


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20.0
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def test_a_look_says_what_the_system_says(tmp_path: Path) -> None:
    cpu = CpuMeter()
    assert read_host(cpu, DiskProbe(tmp_path)).cpu is None  # there is no time before the first look
    host = read_host(cpu, DiskProbe(tmp_path))
    assert host.cpu is not None
    assert 0 <= host.cpu <= 100
    assert host.cores == len(os.sched_getaffinity(0)) <= host.all_cores == os.cpu_count()
    assert 0 < host.memory_used < host.memory_total <= psutil.virtual_memory().total
    assert host.disk_free is not None
    assert 0 < host.disk_free < (host.disk_total or 0)
    assert (host.shm_total is not None) == Path("/dev/shm").exists()


def test_only_the_cores_that_are_ours_count() -> None:
    ours = os.sched_getaffinity(0)
    if len(ours) < 2:
        pytest.skip("needs two cores")
    os.sched_setaffinity(0, {min(ours)})
    try:
        host = read_host(CpuMeter(), DiskProbe(Path("/")))
    finally:
        os.sched_setaffinity(0, ours)
    assert (host.cores, host.all_cores) == (1, os.cpu_count())


def test_a_container_s_limit_counts_where_it_ends_before_the_machine_s_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_host(CpuMeter(), DiskProbe(Path("/")))
    for limit, counts in (
        (Memory(GIB // 8, GIB // 4), True),
        (Memory(0, whole.memory_total - 1), False),  # more than the others leave
        (Memory(2 * whole.memory_total, 2 * whole.memory_total), False),  # none: the machine has not that much
    ):
        monkeypatch.setattr("xray_tui.feeds.host_feed.limited_memory", lambda own, limit=limit: limit)
        host = read_host(CpuMeter(), DiskProbe(Path("/")))
        assert host.memory_limited is counts
        assert host.memory_total == (limit.total if counts else whole.memory_total)


def test_a_runs_folder_that_is_gone_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    host = read_host(CpuMeter(), DiskProbe(tmp_path / "missing"))
    assert (host.disk_free, host.disk_total, host.disk_problem) == (None, None, "No such file or directory")
    assert host.memory_total > 0


def test_a_disk_that_does_not_answer_leaves_the_rest_of_the_line(
    silent_server: Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiskProbe, "SOON", 0.01)
    monkeypatch.setattr(DiskProbe, "TIMEOUT", 0.05)
    seen: list[Host] = []
    feed = HostFeed(tmp_path, seen.append)
    feed.start()
    until(lambda: seen or feed.wake())
    until(lambda: seen[-1].disk_problem == NO_ANSWER or feed.wake())
    assert seen[-1].memory_total > 0
    silent_server.set()
    until(lambda: seen[-1].disk_free or feed.wake())
    assert seen[-1].disk_problem is None
    feed.stop()


def test_a_slow_disk_is_shown_as_it_was_and_asked_once_at_a_time(
    silent_server: Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiskProbe, "SOON", 0.001)
    monkeypatch.setattr(DiskProbe, "TIMEOUT", 600.0)
    disk = DiskProbe(tmp_path)
    threads = {disk._thread for _ in range(5) if disk.read() == Disk()}
    assert len(threads) == 1
    silent_server.set()
    until(lambda: disk.read().free)
    silent_server.clear()
    assert all(disk.read().free for _ in range(5))


def test_the_end_of_the_app_waits_for_no_disk(tmp_path: Path) -> None:
    program = (
        "import os, sys, threading, time\n"
        "from pathlib import Path\n"
        "from xray_tui.feeds.host_feed import HostFeed\n"
        "assert 'psutil' not in sys.modules\n"  # nothing that the app's start would wait for
        "ask = os.statvfs\n"
        "os.statvfs = lambda path: time.sleep(600) if str(path) == sys.argv[1] else ask(path)\n"
        "told = threading.Event()\n"
        "feed = HostFeed(Path(sys.argv[1]), lambda host: told.set())\n"
        "feed.start()\n"
        "assert told.wait(30)\n"
        "feed.stop()\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)


def test_only_what_has_changed_by_as_much_as_is_shown_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [WELL, replace(WELL, memory_used=WELL.memory_used + 1000, load=8.01), replace(WELL, cpu=51)]
    monkeypatch.setattr("xray_tui.feeds.host_feed.read_host", lambda cpu, disk: looks[0])
    seen: list[Host] = []
    feed = HostFeed(tmp_path, seen.append)
    for host in list(looks):
        looks[0] = host
        feed.tick()
        feed.tick()
    assert seen == [WELL, replace(WELL, cpu=51)]
    feed.stop()
    looks[0] = replace(WELL, cpu=99)
    feed.tick()
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("change", "short"),
    [
        ({}, ""),
        ({"load": 24.0, "cpu": 100}, ""),
        ({"load": 24.1}, "cpu"),
        ({"cores": 4, "load": 99.0, "cpu": 94}, ""),
        ({"cores": 4, "load": 1.0, "cpu": 95}, "cpu"),
        ({"load": None, "cpu": None}, ""),
        ({"memory_used": 115 * GIB}, ""),
        ({"memory_used": 116 * GIB}, "memory"),
        ({"memory_total": 1000 * GIB, "memory_used": 983 * GIB}, ""),
        ({"memory_total": 1000 * GIB, "memory_used": 985 * GIB}, "memory"),
        ({"shm_total": 64 << 20}, "shm"),
        ({"shm_used": 63 * GIB + 1}, "shm"),
        ({"shm_used": None, "shm_total": None}, ""),
        ({"disk_free": 21 * GIB}, ""),
        ({"disk_free": 19 * GIB}, "disk"),
        ({"disk_total": 100 * GIB, "disk_free": 6 * GIB}, ""),
        ({"disk_total": 100 * GIB, "disk_free": 4 * GIB}, "disk"),
        ({"disk_total": 100_000 * GIB, "disk_free": 51 * GIB}, ""),
        ({"disk_free": None, "disk_total": None, "disk_problem": NO_ANSWER}, "disk"),
        ({"disk_free": None, "disk_total": None}, ""),
    ],
)
def test_what_is_short_is_named(change: dict[str, object], short: str) -> None:
    assert shortages(replace(WELL, **change)) == frozenset(short.split())  # type: ignore[arg-type]


def test_everything_may_be_short_at_once() -> None:
    host = replace(WELL, load=100.0, memory_used=127 * GIB, shm_used=64 * GIB, disk_free=0)
    assert shortages(host) == {"cpu", "memory", "shm", "disk"}
