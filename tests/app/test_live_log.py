"""A job's log in the app: read from its end to its beginning, searched, enlarged; the files and threads are real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.contract.names import JOBS, LOG
from tests.app.samples import make_page
from xray_tui.app.app import XrayApp
from xray_tui.app.messages import FollowedChanged
from xray_tui.feeds.job_files import Followed
from xray_tui.feeds.periodic_thread import Ticking
from xray_tui.jobs.model.job import Job
from xray_tui.keymap import keymap_problems
from xray_tui.logs.log_file import LogPage
from xray_tui.logs.log_search import Found
from xray_tui.widgets.live_log import LiveLog

MakeApp = Callable[..., XrayApp]
LINES = 30_000


class Reader:
    """Somebody who reads the log of the job j4."""

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
    monkeypatch.setattr("xray_tui.feeds.jobs_feed.JobsFeed.start", Ticking.start)
    return make_app()


async def focused(pilot: Pilot[None]) -> LiveLog:
    """The log, once a job is followed, with the focus."""
    async with asyncio.timeout(30):
        while pilot.app._services.follow is None:
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
    """A log of which some lines are to be found."""
    lines = [b"line %d" % number + b"." * (number % 20) for number in range(LINES)]
    for number in (100, 20_000):
        lines[number] += b" \x1b[31mError\x1b[0m: no such file"
    return b"\n".join(lines) + b"\n"


async def test_a_log_is_read_from_its_end_to_its_beginning_and_back(reading: Any, long: bytes) -> None:
    async with reading(long) as reader:
        await reader.sees("line 29999.", "30,000 lines")
        await reader.press("g")
        await reader.sees("line 0 ", "line 5.", "line 1 of 30,000")
        await reader.press("pagedown", "j")
        top = reader.log.size.height + 1
        await reader.sees(f"line {top}.", f"line {top + 1} of 30,000")
        reader.log.scroll_to(y=15_000, animate=False)
        await reader.sees("line 15000 ", "line 15005.", "line 15,001 of 30,000")
        await reader.press("pageup")
        await reader.sees("line 14995.")
        await reader.press("G")
        await reader.sees("line 29999.", "30,000 lines")


async def test_a_log_that_one_comes_back_to_is_read_again(reading: Any, long: bytes) -> None:
    async with reading(long) as reader:
        await reader.press("g")
        await reader.sees("line 1 of 30,000", "line 5.")
        await reader.press("shift+tab", "j")
        await reader.sees("Nothing yet")
        await reader.press("k", "tab")
        await reader.sees("line 29999.", "30,000 lines")
        await reader.press("g")
        await reader.sees("line 1 of 30,000", "line 5.")


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
        await reader.sees("30,000 lines")
        await reader.press("slash", *"r: NO", "enter")
        await reader.sees("line 101 of 30,000", "Error: no such file")
        assert reader.marked() == ["r: no"]
        assert reader.log.has_focus
        await reader.press("n")
        await reader.sees("line 20,001 of 30,000", "line 20000")
        await reader.press("n")
        await reader.sees("line 101 of 30,000")
        await reader.press("N")
        await reader.sees("line 20,001 of 30,000")
        await reader.press("escape")
        assert reader.marked() == []
        assert "line 20000" in reader.text
        assert reader.log.has_focus


async def test_a_match_is_shown_where_it_stands_in_a_long_line(reading: Any) -> None:
    async with reading(b"x" * 500 + b"needle" + b"y" * 500 + b"\n" + b"short\n" * 50 + b"needle\n") as reader:
        await reader.sees("52 lines")
        await reader.press("g", "slash", *"nee", "enter")
        await reader.sees("xxneedleyy")
        await reader.press("n")
        await reader.sees("line 52 of 52")
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
        await reader.sees("30,000 lines")
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


async def test_what_is_read_stays_in_view_when_the_lines_before_it_are_counted(
    app: XrayApp,
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        log = await focused(pilot)
        lines = tuple(f"line {1000 + number}" for number in range(100))
        app.post_message(FollowedChanged(Followed("j4", LogPage(0, lines, 100, 0.34, 0, 1))))
        await pilot.pause()
        assert "counting lines… 34 %" in log.border_subtitle
        await pilot.press("k", "k", "k")
        read = log.render_line(0).text
        app.post_message(FollowedChanged(Followed("j4", LogPage(1000, lines, 1100, 1.0, 1000, 1))))
        await pilot.pause()
        assert log.render_line(0).text == read
        assert str(log.border_subtitle) == f"line {int(read.split()[1]) + 1:,} of 1,100"


@pytest.mark.parametrize("order", [("j4", "j3"), ("j3", "j4")], ids=" then ".join)
async def test_a_late_page_of_another_job_does_not_discard_the_page_of_the_selected_one(
    app: XrayApp, order: tuple[str, str]
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        log = await focused(pilot)
        for job in order:
            app.post_message(FollowedChanged(Followed(job, make_page((f"says {job}",)))))
        await pilot.pause()
        assert log.render_line(0).text.strip() == "says j4"


async def test_a_search_says_how_far_it_is_and_an_old_answer_is_passed_over(
    app: XrayApp,
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        log = await focused(pilot)
        page = make_page(tuple(f"line {number}" for number in range(100)))
        app.post_message(FollowedChanged(Followed("j4", page)))
        await pilot.press("slash", *"5", "enter")
        assert str(log.border_subtitle) == "searching… 0 %"
        first = log._search
        app.post_message(FollowedChanged(Followed("j4", page, found=Found(first, 0.34))))
        await pilot.pause()
        assert str(log.border_subtitle) == "searching… 34 %"
        await pilot.press("slash", *"6", "enter")
        app.post_message(FollowedChanged(Followed("j4", page, found=Found(first, 1.0, 50))))
        await pilot.pause()
        assert str(log.border_subtitle) == "searching… 0 %"
        app.post_message(FollowedChanged(Followed("j4", page, found=Found(log._search, 1.0, 60))))
        await pilot.pause()
        assert str(log.border_subtitle) == "line 61 of 100"


def test_a_key_that_two_share_in_the_table_is_no_clash_and_one_that_is_moved_onto_another_is() -> None:
    assert list(keymap_problems({"board.sort": "f2"})) == []
    assert list(keymap_problems({"log.search": "n"})) == [
        "keymap: log.search: n is the key of log.next, too; another key is right"
    ]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids="{0[0]}x{0[1]}".format)
def test_a_long_log_that_is_searched(snap_compare: Any, app: XrayApp, size: tuple[int, int]) -> None:
    lines = tuple(
        f"step {number}  loss 0.{(7919 * number) % 9999:04}" + "  val improved" * (number % 7 == 3)
        for number in range(11_800, 12_700)
    )

    async def show(pilot: Pilot[None]) -> None:
        log = await focused(pilot)
        page = LogPage(11_800, lines, 1_204_331, edition=1)
        app.post_message(FollowedChanged(Followed("j4", page)))
        await pilot.press("enter", "slash", *"val im", "enter")
        app.post_message(FollowedChanged(Followed("j4", page, found=Found(log._search, 1.0, 12_337))))
        await pilot.press("slash")
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=show)
