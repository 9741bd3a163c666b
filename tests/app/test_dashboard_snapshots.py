"""Pictures of the dashboard. `pytest tests/app --snapshot-update` takes them anew; look at what has changed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from xray_tui.app import XrayApp
from xray_tui.gpu.sample import GpuSnapshot
from xray_tui.live.curve import Curve
from xray_tui.live.follow import Followed
from xray_tui.messages import FollowedChanged, GpuSampled, JobsChanged
from xray_tui.widgets.leaderboard import Leaderboard
from xray_tui.widgets.log_view import LogView

SIZES = [(80, 24), (120, 40)]
NO_GPU = GpuSnapshot(problem="No NVIDIA driver is visible on this machine: trainings run on the CPU.")


@pytest.fixture
def followed() -> Followed:
    """What a training has told after nine of twenty epochs."""
    loss = tuple((step / 10, round(0.9 * math.exp(-step / 40), 4)) for step in range(1, 91))
    validation = tuple((float(epoch), round(0.4 * (1 - math.exp(-epoch / 4)), 4)) for epoch in range(1, 10))
    lines = tuple(
        f"epoch {epoch}/20  loss {0.9 * math.exp(-epoch / 4):.4f}  val dice_pos {value:.4f}  14.2 images/s"
        for epoch, value in validation
    )
    return Followed("j4", lines, False, Curve(loss, validation, "dice_pos", (8.0, 0.3459), 20.0))


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that the app does by itself."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


def showing(*messages: Any, keys: str = "") -> Callable[[Pilot[None]], Any]:
    """Wait for the board, post what the services would, press keys."""

    async def run(pilot: Pilot[None]) -> None:
        app = pilot.app
        assert isinstance(app, XrayApp)
        board = app.screen.query_one(Leaderboard)
        await until(lambda: board.row_count > 0)
        await pilot.pause()
        log = app.screen.query_one(LogView)
        for message in messages:
            app.post_message(message)
            await pilot.pause()
            if isinstance(message, JobsChanged) and message.jobs:
                await until(lambda: app._follow is not None)  # the selection has gone all its way
        await pilot.press(*keys.split())
        await app.workers.wait_for_complete()
        await pilot.pause()
        await until(lambda: log.scroll_offset.y == log.max_scroll_y)

    return run


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_a_training_is_followed_by_its_log(
    snap_compare: Any, make_app: Callable[..., XrayApp], jobs: tuple, gpus: Any, followed: Followed, size: Any
) -> None:
    show = showing(GpuSampled(gpus), JobsChanged(jobs[1:]), FollowedChanged(followed), keys="space j j")
    assert snap_compare(make_app(), terminal_size=size, run_before=show)


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_a_training_is_followed_by_its_curve(
    snap_compare: Any, make_app: Callable[..., XrayApp], jobs: tuple, gpus: Any, followed: Followed, size: Any
) -> None:
    show = showing(GpuSampled(gpus), JobsChanged(jobs[1:]), FollowedChanged(followed), keys="c tab s")
    assert snap_compare(make_app(), terminal_size=size, run_before=show)


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_no_gpu_and_no_job_leave_the_room_to_the_board(
    snap_compare: Any, make_app: Callable[..., XrayApp], size: Any
) -> None:
    assert snap_compare(make_app(), terminal_size=size, run_before=showing(GpuSampled(NO_GPU), JobsChanged(())))


def test_stopping_is_asked_about(
    snap_compare: Any, make_app: Callable[..., XrayApp], jobs: tuple, gpus: Any, followed: Followed
) -> None:
    show = showing(GpuSampled(gpus), JobsChanged(jobs[1:]), FollowedChanged(followed), keys="K")
    assert snap_compare(make_app(), terminal_size=(80, 24), run_before=show)
