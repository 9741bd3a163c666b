"""Lists and logs scroll in the same step in which their rows come, before Textual has laid out a scroll bar."""

from __future__ import annotations

from textual.app import App
from textual.widget import Widget

from tests.app.samples import make_job, make_log
from xray_tui.jobs.model.job import State
from xray_tui.widgets.job_list import JobList
from xray_tui.widgets.live_log import LiveLog
from xray_tui.widgets.log_view import LogView

LINES = tuple(f"line {number}" for number in range(100))


class Shown(App[None]):
    """An app that shows one widget and nothing else."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def on_mount(self) -> None:
        self.mount(self.widget)


def row(widget: LogView | JobList, y: int) -> str:
    return widget.render_line(y).text


async def test_a_log_shows_its_last_line_before_its_scroll_bar_is_laid_out() -> None:
    log = LogView()
    async with Shown(log).run_test(size=(80, 24)) as pilot:
        log.show(LINES)
        assert not log.show_vertical_scrollbar
        assert row(log, 23).startswith("line 99 ")
        await pilot.pause()
        assert row(log, 23).startswith("line 99 ")
        assert log.vertical_scrollbar.position == log.max_scroll_y


async def test_a_page_of_a_log_s_last_lines_is_not_blank_before_the_scroll_bar_is_laid_out() -> None:
    log = LiveLog()
    async with Shown(log).run_test(size=(80, 24)):
        log.show_log(make_log(LINES), "")
        assert row(log, 23).startswith("line 99 ")
        log.action_jump(0)
        assert row(log, 0).startswith("line 0 ")


async def test_the_selected_job_is_in_view_before_the_scroll_bar_is_laid_out() -> None:
    jobs = JobList()
    async with Shown(jobs).run_test(size=(80, 24)):
        jobs.show([make_job(f"j{number}", f"run_{number}", State.SUCCEEDED) for number in range(100)])
        jobs.action_jump(-1)
        assert jobs.job is not None
        assert jobs.job.spec.run in row(jobs, 23)
