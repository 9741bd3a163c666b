"""Pictures of the dashboard. `pytest tests/app --snapshot-update` takes them anew; look at what has changed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.contract.events import epoch_line
from tests.app.piloting import dashboard
from tests.app.samples import GIB, NOW, make_gpu, make_log
from xray_tui.app.app import XrayApp
from xray_tui.app.messages import FollowedChanged, GpuSampled, HostSampled, JobsChanged
from xray_tui.feeds.gpu_feed import Gpus
from xray_tui.feeds.host_feed import Host
from xray_tui.feeds.job_files import Followed
from xray_tui.gpu.history import Reading
from xray_tui.gpu.snapshot import GpuProcess, GpuSnapshot
from xray_tui.jobs.supervise.process_owners import Owner
from xray_tui.logs.curve_reader import Curve

SIZES = [(80, 24), (120, 40)]
NO_GPU = Gpus(GpuSnapshot(problem="No NVIDIA driver is visible on this machine: trainings run on the CPU."))


@pytest.fixture
def followed() -> Followed:
    """What a training has told after nine of twenty epochs."""
    loss = tuple((step / 10, round(0.9 * math.exp(-step / 40), 4)) for step in range(1, 91))
    validation = tuple((float(epoch), round(0.4 * (1 - math.exp(-epoch / 4)), 4)) for epoch in range(1, 10))
    lines = tuple(
        epoch_line(epoch, 20, 0.9 * math.exp(-epoch / 4), {"dice_pos": value}, epoch == 8, 26.0)
        for epoch, value in validation
    )
    return Followed("j4", make_log(lines), Curve(loss, validation, "dice_pos", (8.0, 0.3459), 20.0))


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that the app does by itself."""
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)


def showing(*messages: Any, keys: str = "") -> Callable[[Pilot[None]], Any]:
    """Wait for the board, post what the services would, press keys."""

    async def run(pilot: Pilot[None]) -> None:
        app = pilot.app
        assert isinstance(app, XrayApp)
        await until(lambda: dashboard(app).board.row_count > 0)
        await pilot.pause()
        log = dashboard(app).log_view
        for message in messages:
            app.post_message(message)
            await pilot.pause()
            if isinstance(message, JobsChanged) and message.jobs:
                await until(lambda: app.services.follow is not None)  # the selection has gone all its way
        await pilot.press(*keys.split())
        await app.workers.wait_for_complete()
        await pilot.pause()
        await until(lambda: log.scroll_offset.y == log.max_scroll_y)

    return run


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_a_training_is_followed_by_its_log(
    snap_compare: Any,
    make_app: Callable[..., XrayApp],
    jobs: tuple,
    gpus: Any,
    host: Host,
    followed: Followed,
    size: Any,
) -> None:
    show = showing(
        GpuSampled(gpus), HostSampled(host), JobsChanged(jobs[1:]), FollowedChanged(followed), keys="space j j"
    )
    assert snap_compare(make_app(), terminal_size=size, run_before=show)


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_a_training_is_followed_by_its_curve(
    snap_compare: Any,
    make_app: Callable[..., XrayApp],
    jobs: tuple,
    gpus: Any,
    host: Host,
    followed: Followed,
    size: Any,
) -> None:
    show = showing(
        GpuSampled(gpus), HostSampled(host), JobsChanged(jobs[1:]), FollowedChanged(followed), keys="3 c 2 s tab"
    )
    assert snap_compare(make_app(), terminal_size=size, run_before=show)


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_no_gpu_and_no_job_leave_the_room_to_the_board(
    snap_compare: Any, make_app: Callable[..., XrayApp], size: Any
) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=showing(GpuSampled(NO_GPU), JobsChanged(())))


def test_stopping_is_asked_about(
    snap_compare: Any, make_app: Callable[..., XrayApp], jobs: tuple, gpus: Any, followed: Followed
) -> None:
    show = showing(GpuSampled(gpus), JobsChanged(jobs[1:]), FollowedChanged(followed), keys="3 K")
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=show)


@pytest.fixture
def busy_server() -> Callable[[int], Gpus]:
    """So many GPUs after a minute of work: for our runs, for others, hot ones, lost ones, free ones."""

    def make(count: int) -> Gpus:
        ours = GpuProcess(4711, "C", 59 * GIB, "python3", "ana", "python3 -P -m engine.cli train", NOW - 7500, 96)
        other = GpuProcess(5150, "C", 30 * GIB, "jupyter", "bo", "jupyter-lab --no-browser", NOW - 90000, 12)
        desktop = GpuProcess(6557, "C+G", 420 << 20, "Xorg", "root", "/usr/lib/xorg/Xorg", NOW - 900000, 2)
        hidden = GpuProcess(4194301, "C", 5 * GIB)
        kinds: list[dict[str, Any]] = [
            {"utilisation": 97, "memory_used": 60 * GIB, "temperature": 68, "power": 371.5, "processes": (ours,)},
            {
                "utilisation": 57,
                "memory_used": 36 * GIB,
                "temperature": 59,
                "power": 251.0,
                "processes": (other, hidden),
            },
            {"utilisation": 3, "processes": (desktop,)},
            {"utilisation": 88, "temperature": 91, "throttle": ("hardware thermal slowdown",), "processes": (ours,)},
            {"utilisation": 100, "memory_used": 60 * GIB, "power": 101.0, "processes": (ours,)},
            {
                "problem": "GPU is lost: look for Xid in `sudo dmesg`; if it does not come back, reboot",
                "since": NOW - 190,
            },
            {},
            {"processes": None, "processes_problem": "no permission", "fan": 62},
        ]
        found = tuple(make_gpu(index, **kinds[index % len(kinds)]) for index in range(count))
        availability = {
            gpu.uuid: None if not gpu.processes or gpu.processes == (desktop,) else "used by a job" for gpu in found
        }
        history = {
            gpu.uuid: tuple(
                Reading(
                    NOW - 59 + second,
                    round((gpu.utilisation or 0) * (0.7 + 0.3 * math.sin(second / 6 + gpu.index))),
                    100 * (gpu.memory_used or 0) / (80 * GIB),
                    (gpu.power or 0) / 4 * (0.9 + 0.1 * math.sin(second / 9)),
                )
                for second in range(60)
            )
            for gpu in found
        }
        return Gpus(
            GpuSnapshot(found, time=NOW, driver="550.54.15"),
            history,
            {4711: Owner("dg_aug_seeds/seed_1337", "j4")},
            availability,
            frozenset({"GPU-4"}),
        )

    return make


@pytest.mark.parametrize(("count", "size", "keys"), [
    (1, (80, 24), ""), (4, (80, 24), ""), (8, (80, 24), ""), (16, (80, 24), ""), (4, (80, 24), "d"),
    (8, (120, 40), ""), (8, (120, 40), "d"), (8, (200, 60), ""), (16, (200, 60), "d"),
], ids=lambda value: f"{value[0]}x{value[1]}" if isinstance(value, tuple) else str(value))  # fmt: skip
def test_any_number_of_gpus_has_room(
    snap_compare: Any, make_app: Callable[..., XrayApp], busy_server: Any, host: Host, count: int, size: Any, keys: str
) -> None:
    show = showing(GpuSampled(busy_server(count)), HostSampled(host), JobsChanged(()), keys=keys)
    assert snap_compare(make_app(), terminal_size=size, run_before=show)


def test_old_figures_are_grey_and_say_how_old_they_are(
    snap_compare: Any, make_app: Callable[..., XrayApp], busy_server: Any, host: Host
) -> None:
    gpus = busy_server(4)
    hangs = replace(gpus.snapshot, time=NOW - 12, stale="The NVIDIA driver has not answered for 5 s.")
    short = replace(host, disk_free=2 * GIB)
    show = showing(GpuSampled(replace(gpus, snapshot=hangs)), HostSampled(short), JobsChanged(()))
    assert snap_compare(make_app(), terminal_size=(120, 40), run_before=show)


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_a_gpu_shows_its_minute_and_its_processes(
    snap_compare: Any, make_app: Callable[..., XrayApp], busy_server: Any, size: Any
) -> None:
    show = showing(GpuSampled(busy_server(4)), JobsChanged(()), keys="shift+tab j enter")
    assert snap_compare(make_app(), terminal_size=size, run_before=show)


def test_a_gpu_without_colours_is_told_by_signs_and_words(
    snap_compare: Any, make_app: Callable[..., XrayApp], busy_server: Any, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    show = showing(GpuSampled(busy_server(4)), HostSampled(host), JobsChanged(()), keys="shift+tab j")
    assert snap_compare(make_app(), terminal_size=(120, 40), run_before=show)
