"""Reading logs and jobs: what is read stays in view, and no two texts run into each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rich.cells import cell_len

from tests.app.samples import NOW, make_job, make_log
from xray_tui.app.app import XrayApp
from xray_tui.app.messages import FollowedChanged, JobsChanged
from xray_tui.feeds.job_files import Followed
from xray_tui.jobs.model.job import Job, Progress, State
from xray_tui.widgets.job_format import Layout, job_detail, job_line
from xray_tui.widgets.log_view import LogView

LINES = tuple(f"line {number}" for number in range(100))


def text_of(parts: list[tuple[str, str]]) -> str:
    return "".join(text for text, _ in parts)


async def test_a_log_that_is_read_stays_where_it_is_when_the_terminal_changes_its_size(
    make_app: Callable[..., XrayApp], jobs: tuple[Job, ...]
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        app.post_message(JobsChanged(jobs))
        await pilot.pause()
        app.post_message(FollowedChanged(Followed("j4", make_log(LINES))))
        await pilot.pause()
        await pilot.press("tab", "tab", *"k" * 30)
        log = app.screen.query_one(LogView)
        top = log.scroll_offset.y
        assert 0 < top < len(LINES) - 30
        for size in ((120, 40), (200, 60), (80, 24), (100, 30)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            app.post_message(FollowedChanged(Followed("j4", make_log((*LINES, f"at {size}")))))
            await pilot.pause()
            assert log.scroll_offset.y == top
        await pilot.press("shift+tab", "j")
        app.post_message(FollowedChanged(Followed("j5", make_log(LINES))))
        await pilot.pause()
        await pilot.pause()
        assert log.scroll_offset.y == len(log.lines) - log.size.height, "another job's log begins at its end"


def line_of(job: Job, width: int) -> str:
    return text_of(job_line(job, width, NOW, Layout.of((job,), width)))


PHASES = {"read val": "read", "predict test (hv)": "pred", "score": "score", "bootstrap": "boot"}


@pytest.mark.parametrize("width", [30, 38, 48, 58, 60, 90, 140])
def test_kinds_of_jobs_are_told_apart_and_a_phase_is_not_taken_for_the_job(width: int) -> None:
    for kind in ("train", "evaluate", "blend"):
        ended = line_of(make_job("j", "seeds/seed_42", State.SUCCEEDED, kind=kind), width)
        assert f" {kind} " in ended or ended.startswith(f" ✓ {kind[0]} ")
    for phase, seen in PHASES.items():
        job = make_job("j", "seeds/seed_42", State.RUNNING, "evaluate", Progress(613, 613, "images", phase, 0.0))
        line = line_of(job, width)
        assert cell_len(line) == width
        assert f" {seen}" in line
        assert "100%" in line
        assert "━" not in line
        assert f"{phase} 613/613 images" in job_detail(job, 0.0)


def test_a_training_that_trains_shows_its_bar() -> None:
    job = make_job("j", "unet", State.RUNNING, progress=Progress(5, 10, "steps", "train unet"))
    assert "━━━" in line_of(job, 38)
