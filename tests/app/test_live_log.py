"""A job's log in the app: read, searched, enlarged; the files and threads are real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.contract.names import JOBS, LOG
from tests.app.samples import make_log
from xray_tui.app.app import XrayApp
from xray_tui.app.messages import FollowedChanged
from xray_tui.feeds.job_files import Followed
from xray_tui.feeds.periodic_thread import PeriodicThread
from xray_tui.jobs.model.job import Job
from xray_tui.keymap import keymap_problems
from xray_tui.logs.log_file import Log
from xray_tui.widgets.live_log import LiveLog

MakeApp = Callable[..., XrayApp]
LINES = 30_000
HEAD = 2
"""Lines about the job j4 above its log: its command, and where and when it started."""


class Reader:
    """Keys and screen of a user at the log of the job j4."""

    def __init__(self, pilot: Pilot[None], log: LiveLog, path: Path) -> None:
        self.app = pilot.app
        self.log = log
        self.path = path
        self.press = pilot.press

    async def sees(self, *texts: str) -> None:
        """Wait until all of these are on the screen."""
        async with asyncio.timeout(30):
            while not all(text in self.text for text in texts):
                await asyncio.sleep(0.01)

    @property
    def text(self) -> str:
        return "\n".join("".join(part.text for part in row) for row in self.app.screen._compositor.render_strips())

    def add(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def marked(self) -> list[str]:
        """What is marked in the log's rows, from top to bottom."""
        colour = self.log.rich_style.bgcolor
        rows = [self.log.render_line(y) for y in range(self.log.size.height)]
        return [part.text for row in rows for part in row if part.style and part.style.bgcolor != colour]


@pytest.fixture
def app(make_app: MakeApp, jobs: tuple[Job, ...], monkeypatch: pytest.MonkeyPatch) -> XrayApp:
    """The app with some jobs; j4, which runs, is selected."""
    monkeypatch.setattr("xray_tui.jobs.supervise.recovery.recover_orphans", lambda store: list(jobs))
    monkeypatch.setattr("xray_tui.jobs.storage.job_store.JobStore.jobs", lambda store: list(jobs))
    monkeypatch.setattr("xray_tui.feeds.jobs_feed.JobsFeed.start", PeriodicThread.start)
    return make_app()


async def focused(pilot: Pilot[None]) -> LiveLog:
    """The log, once a job is followed, with the focus."""
    async with asyncio.timeout(30):
        while pilot.app.services.follow is None:
            await asyncio.sleep(0.01)
    await pilot.press("tab", "tab")
    log = pilot.app.screen.query_one(LiveLog)
    assert log.has_focus
    return log


@pytest.fixture
def reading(app: XrayApp, runs: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Opens the app on a log of these bytes."""
    monkeypatch.delattr("xray_tui.feeds.job_files.Follow.start")  # which this room's tests have replaced
    path = runs / JOBS / "j4" / LOG

    @asynccontextmanager
    async def read(data: bytes) -> AsyncIterator[Reader]:
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        async with app.run_test(size=(80, 24)) as pilot:
            yield Reader(pilot, await focused(pilot), path)

    return read


@pytest.fixture
def long() -> bytes:
    """A log of more lines than are kept; line 10,000 is the first of those that are. Some are to be found."""
    lines = [b"line %d" % number + b"." * (number % 20) for number in range(LINES)]
    for number in (100, 10_100, 20_000):
        lines[number] += b" \x1b[31mError\x1b[0m: no such file"
    return b"\n".join(lines) + b"\n"


async def test_the_last_20_000_lines_of_a_log_are_read_from_the_end_to_the_first_and_back(
    reading: Any, long: bytes
) -> None:
    async with reading(long) as reader:
        await reader.sees("line 29999.")
        assert str(reader.log.border_subtitle) == "last 20,000 of the log; o opens all of it"
        await reader.press("g")
        await reader.sees("$ xray-engine", "CPU, started 20", "line 10000 ", "line 10003.", "line 1 of the last 20,000")
        await reader.press("pagedown", "j")
        top = reader.log.size.height + 1 - HEAD
        await reader.sees(f"line {10_000 + top}.", f"line {top + 1} of the last 20,000")
        await reader.press("G")
        await reader.sees("line 29999.")


async def test_what_is_read_stays_in_view_while_lines_before_it_are_dropped(reading: Any, long: bytes) -> None:
    async with reading(long) as reader:
        await reader.sees("line 29999.")
        await reader.press("slash", *"10100", "enter")
        await reader.sees("· line 101", "line 10100")
        top = reader.log.render_line(0).text
        reader.add(b"one\ntwo\nthree\n")
        await reader.sees("· line 98")
        assert reader.log.render_line(0).text == top
        assert reader.marked() == ["10100"]


async def test_a_log_that_one_comes_back_to_is_read_again(reading: Any, long: bytes) -> None:
    async with reading(long) as reader:
        await reader.press("g")
        await reader.sees("line 1 of the last 20,000", "line 10003.")
        await reader.press("shift+tab", "j")
        await reader.sees("queued since")
        await reader.press("k", "tab")
        await reader.sees("line 29999.")


async def test_a_log_is_followed_at_its_end_only_and_begins_there_when_it_is_another(reading: Any) -> None:
    async with reading(b"".join(b"line %d\n" % number for number in range(100))) as reader:
        await reader.sees("line 99 ", "100 lines")
        reader.add(b"line 100\n")
        await reader.sees("line 100 ", "101 lines")
        await reader.press("k", "k")
        reader.add(b"line 101\n")
        await reader.sees("of 102")
        assert "line 98 " in reader.text
        assert "line 99 " not in reader.text
        reader.path.write_bytes(b"".join(b"again %d\n" % number for number in range(50)))
        await reader.sees("again 49 ", "50 lines")


async def test_slash_searches_a_log_and_n_goes_on(reading: Any, long: bytes) -> None:
    async with reading(long) as reader:
        await reader.sees("line 29999.")
        await reader.press("slash", *"r: NO", "enter")
        await reader.sees("· line 101", "Error: no such file")
        assert reader.marked() == ["r: no"]
        assert reader.log.has_focus
        await reader.press("n")
        await reader.sees("· line 10,001", "line 20000")
        await reader.press("n")
        await reader.sees("· line 101")
        await reader.press("N")
        await reader.sees("· line 10,001")
        await reader.press("escape")
        assert reader.marked() == []
        assert "line 20000" in reader.text
        assert reader.log.has_focus


async def test_a_search_goes_on_at_the_other_end_of_a_log_that_is_shorter_than_its_panel(reading: Any) -> None:
    async with reading(b"needle\nhay\nneedle\nhay\n") as reader:
        await reader.sees("needle")
        await reader.press("slash", *"need", "enter")
        for key, line in (("N", 2), ("N", 0), ("n", 2), ("n", 0)):
            await reader.press(key)
            assert reader.log._match == HEAD + line
            assert reader.log.border_subtitle == f"match {line // 2 + 1} of 2 · line {line + 1}"


async def test_a_match_is_shown_where_it_stands_in_a_long_line(reading: Any) -> None:
    async with reading(b"x" * 500 + b"needle" + b"y" * 500 + b"\n" + b"short\n" * 50 + b"needle\n") as reader:
        await reader.sees("52 lines")
        await reader.press("g", "slash", *"nee", "enter")
        await reader.sees("xxneedleyy")
        await reader.press("n")
        await reader.sees("match 2 of 2 · line 52")
        assert reader.log.scroll_offset.x == 0


async def test_what_is_typed_is_marked_at_once_and_what_is_not_there_is_said(reading: Any) -> None:
    async with reading(b"alpha\nbeta alpha\n") as reader:
        await reader.sees("beta alpha")
        await reader.press("slash", *"ALP")
        assert reader.marked() == ["alp", "alp"]
        await reader.press(*"s", "enter")
        await reader.sees("no match for ALPs")
        assert reader.marked() == []
        await reader.press("slash", *"bet", "enter")  # the words of last time are typed over
        await reader.sees("beta alpha")
        assert "no match" not in reader.text
        assert reader.marked() == ["bet"]
        await reader.press("slash", "escape")
        assert reader.marked() == []
        assert not reader.app.screen.query("#search")
        await reader.press("slash", "tab", "shift+tab", "escape")
        assert reader.log.has_focus
        assert not reader.app.screen.query("#search")


async def test_enter_gives_a_log_the_whole_screen_and_enter_or_escape_its_place_again(
    reading: Any, long: bytes
) -> None:
    async with reading(long) as reader:
        await reader.sees("line 29999.")
        small = reader.log.size
        for leave in ("enter", "escape"):
            await reader.press("enter")
            await reader.sees("line 29999.", "line 29980 ")
            assert reader.log.size == (78, 21)
            await reader.press("g", "slash", "escape", "G", leave)
            await reader.sees("Leaderboard", "line 29999.")
            assert reader.log.size == small
            assert reader.log.has_focus


async def test_slash_belongs_to_the_board_where_the_log_has_no_focus(reading: Any) -> None:
    async with reading(b"hello\n") as reader:
        await reader.press("tab", "tab", "slash")
        assert reader.app.focused.id == "filter"


@pytest.mark.parametrize("order", [("j4", "j3"), ("j3", "j4")], ids=" then ".join)
async def test_a_late_page_of_another_job_does_not_discard_the_page_of_the_selected_one(
    app: XrayApp, order: tuple[str, str]
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        log = await focused(pilot)
        for job in order:
            app.post_message(FollowedChanged(Followed(job, make_log((f"says {job}",)))))
        await pilot.pause()
        assert log.render_line(HEAD).text.strip() == "says j4"


def test_a_key_that_two_share_in_the_table_is_no_clash_and_one_that_is_moved_onto_another_is() -> None:
    assert list(keymap_problems({"board.sort": "f2"})) == []
    assert list(keymap_problems({"log.search": "n"})) == [
        "keymap: log.search: n is also the key of log.next; the default is kept; choose another key"
    ]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids="{0[0]}x{0[1]}".format)
def test_a_long_log_that_is_searched(snap_compare: Any, app: XrayApp, size: tuple[int, int]) -> None:
    lines = tuple(
        f"step {number}  loss 0.{(7919 * number) % 9999:04}" + "  val improved" * (number % 7 == 3)
        for number in range(1_184_331, 1_204_331)
    )

    async def show(pilot: Pilot[None]) -> None:
        await focused(pilot)
        app.post_message(FollowedChanged(Followed("j4", Log(lines, 1_184_331, True, 80, edition=1))))
        for keys in (["enter"], ["slash", *"val im", "enter"], ["n"], ["N"], ["n"], ["slash"]):
            await pilot.press(*keys)
            await pilot.pause()  # where a match is put depends on the height of the log

    assert snap_compare(app, terminal_size=size, run_before=show)


async def test_t_shows_when_each_line_was_written_and_hides_it_again(reading: Any) -> None:
    async with reading(b"2026-02-15 00:38:52 epoch 1/2\nplain\n2026-02-15 00:38:57 train a: 4/20 steps\n") as reader:
        await reader.sees("train a: 4/20 steps")
        assert "00:38:5" not in reader.text
        await reader.press("T")
        await reader.sees("2026-02-15 00:38:52 epoch 1/2", "2026-02-15 00:38:57 train a")
        await reader.press("T", "slash", *"tra", "enter")
        assert "00:38:5" not in reader.text
        assert reader.marked() == ["tra"]


async def test_another_jobs_log_begins_at_the_left(reading: Any) -> None:
    async with reading(b"x" * 300 + b"\n") as reader:
        await reader.sees("xxx")
        await reader.press("right", "right", "right")
        await reader.sees("xxx")
        assert reader.log.scroll_target_x > 0
        await reader.press("shift+tab", "j")
        await reader.sees("queued since")
        assert reader.log.scroll_offset.x == 0


async def test_the_end_of_a_log_says_how_its_job_ended(reading: Any) -> None:
    async with reading(b"hello\n") as reader:
        await reader.press("shift+tab", "j", "j", "j", "tab", "enter")
        await reader.sees("✗ failed: out of memory: batch_size 64 does not fit · took 8m30s · 2026-02-15 ")


async def test_the_log_of_a_waiting_job_says_why_it_waits_and_behind_which_jobs(reading: Any) -> None:
    async with reading(b"hello\n") as reader:
        await reader.press("shift+tab", "j", "tab", "enter")
        await reader.sees(
            "queued since 20", "waits for GPU 0", "behind:", "▶ baseline_posmetric_s2  training 9/20 epochs"
        )
