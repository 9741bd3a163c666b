"""What the panels say while a feed fails, and how the app ends by an error: the log file has the traceback."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.app.piloting import MakeApp, dashboard, opened, screen_text, until
from tests.app.test_terminal import terminal
from tests.conftest import write
from xray_tui.app.messages import BoardPolled, FeedFailed, GpuSampled, HostSampled
from xray_tui.feeds.gpu_feed import Gpus
from xray_tui.feeds.host_feed import Host
from xray_tui.system.error_log import KEPT, LARGEST, error_log, log_error
from xray_tui.widgets.leaderboard import Leaderboard

START = "from xray_tui.app.start import run_app; sys.exit(run_app(Path(sys.argv[1])))"


def broken(runs: Path, fault: str) -> list[str]:
    """The app, after a line that breaks something in it."""
    return [sys.executable, "-c", f"import sys; from pathlib import Path\n{fault}\n{START}", str(runs)]


@pytest.mark.parametrize("feed", ["board", "jobs", "gpus", "host", "log"])
async def test_a_feed_that_fails_says_so_in_its_panel_until_it_works_again(
    make_app: MakeApp, gpus: Gpus, host: Host, feed: str
) -> None:
    app = make_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await opened(pilot)
        for message in (GpuSampled(gpus), HostSampled(host)):
            app.post_message(message)
        await pilot.pause()
        before = screen_text(app)
        line = "! reading failed: KeyError: '\x1b[31m'; next try in 4 s"
        dashboard(app).remove_class("-idle", "-no-job")
        app.post_message(FeedFailed(feed, line))  # type: ignore[arg-type]
        await until(pilot, lambda: "! reading failed: KeyError: '␛[31m'; next try in 4 s" in screen_text(app))
        app.post_message(FeedFailed(feed, ""))  # type: ignore[arg-type]
        await until(pilot, lambda: "reading failed" not in screen_text(app))
        assert "Leaderboard" in before


async def test_the_board_says_why_it_is_polled(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        board = await opened(pilot)
        app.post_message(BoardPolled("nfs4 is a network file system"))
        await until(pilot, lambda: "polled: nfs4 is a network file system" in str(board.border_title))
        app.post_message(BoardPolled(""))
        await until(pilot, lambda: "polled" not in str(board.border_title))


async def test_jobs_and_gpus_do_not_wait_for_a_board_that_cannot_be_read(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as fault:

        def fail(feed: object) -> None:
            raise KeyError("x")

        fault.setattr("xray_tui.board.index.RunIndex.scan", fail)
        app = make_app()
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: app.services.jobs is not None and app.services.gpus is not None)
            board = app.screen.query_one(Leaderboard)
            assert "reading the runs folder failed: KeyError: 'x'" in str(board.border_title)
            fault.undo()
            await opened(pilot)
            await until(pilot, lambda: "failed" not in str(board.border_title))


def test_a_feed_that_fails_in_the_real_app_goes_on_and_is_logged(tmp_path: Path) -> None:
    write(tmp_path / "runs/a/test_metrics.json", {"dice_pos": 0.3})
    write(tmp_path / "runs/.jobs/.keep", "")
    fault = "import xray_tui.jobs.storage.job_store as store; store.JobStore.jobs = lambda store: {}['x']"
    with terminal(tmp_path / "runs", broken(tmp_path / "runs", fault), XDG_STATE_HOME=str(tmp_path / "state")) as app:
        app.until("! reading the jobs failed: KeyError: 'x'; next try in")
        app.process.terminate()
        app.ends()
    assert "KeyError: 'x'" in (tmp_path / "state/xray-tui/xray-tui.log").read_text()


def test_an_error_that_ends_the_app_is_one_line_with_the_log_file(tmp_path: Path) -> None:
    write(tmp_path / "runs/a/test_metrics.json", {"dice_pos": 0.3})
    fault = "from xray_tui.app.app import XrayApp; XrayApp.action_help = lambda app: int('no \\x1b[31mhelp')"
    with terminal(tmp_path / "runs", broken(tmp_path / "runs", fault), XDG_STATE_HOME=str(tmp_path / "state")) as app:
        app.until("1 run")
        os.write(app.descriptor, b"?")
        assert app.ends() == 1
        said = app.sent.rpartition(b"\x1b[?1049l")[2].decode()
    log = tmp_path / "state/xray-tui/xray-tui.log"
    assert "xray-tui: unexpected error: ValueError: invalid literal" in said
    assert f"the traceback is in {log}" in said
    assert "Traceback" not in said
    assert "the app failed\nTraceback (most recent call last):\n" in log.read_text()


def test_an_app_without_errors_writes_no_log_file(tmp_path: Path) -> None:
    write(tmp_path / "runs/a/test_metrics.json", {"dice_pos": 0.3})
    with terminal(tmp_path / "runs", XDG_STATE_HOME=str(tmp_path / "state")) as app:
        app.until("1 run")
        app.process.terminate()
        app.ends()
    assert not list((tmp_path / "state").rglob("*.log"))


def test_a_terminal_that_goes_away_is_no_error(tmp_path: Path) -> None:
    write(tmp_path / "runs/a/test_metrics.json", {"dice_pos": 0.3})
    with terminal(tmp_path / "runs", XDG_STATE_HOME=str(tmp_path / "state")) as app:
        app.until("1 run")
        os.close(app.descriptor)
        app.process.wait(30)
    assert not list((tmp_path / "state").rglob("*.log"))


def test_what_is_written_after_the_terminal_went_away_does_not_hold_up_the_exit(tmp_path: Path) -> None:
    write(tmp_path / "runs/a/test_metrics.json", {"dice_pos": 0.3})
    fault = (
        "from xray_tui.app.app import XrayApp; end = XrayApp._end_by_signal; "
        "XrayApp._end_by_signal = lambda app, number: ([app._driver.write('x') for _ in range(99)], end(app, number))"
    )
    with terminal(tmp_path / "runs", broken(tmp_path / "runs", fault), XDG_STATE_HOME=str(tmp_path / "state")) as app:
        app.until("1 run")
        os.close(app.descriptor)
        app.process.wait(30)


def test_the_log_file_is_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for _ in range(8):
        log_error("reading", ValueError("x" * (LARGEST // 2)))
    assert len(list(error_log().parent.iterdir())) == 1 + KEPT
    assert sum(path.stat().st_size for path in error_log().parent.iterdir()) <= (1 + KEPT) * LARGEST


def test_a_log_file_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "file", "")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    log_error("reading", ValueError("x"))
