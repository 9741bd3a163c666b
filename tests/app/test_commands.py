"""Every command has its id, its key and its line in the help; the settings may move the keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.piloting import MakeApp, dashboard, notes, opened, screen_text, until
from xray_tui.app.app import XrayApp
from xray_tui.app.messages import GpuSampled, JobsChanged
from xray_tui.feeds.gpu_feed import Gpus
from xray_tui.jobs.model.job import Job
from xray_tui.keymap import COMMANDS, keymap_problems
from xray_tui.screens.confirm import ConfirmScreen
from xray_tui.widgets.gpu_strip import GpuStrip
from xray_tui.widgets.leaderboard import Leaderboard
from xray_tui.widgets.log_view import LogView
from xray_tui.widgets.message_line import MessageLine


async def test_the_help_lists_every_command_with_its_id(make_app: MakeApp) -> None:
    app = make_app(keymap={"job.stop": "ctrl+k"})
    async with app.run_test(size=(120, 60)) as pilot:
        await opened(pilot)
        await pilot.press("question_mark")
        text = " ".join(" ".join(app.screen.query_one("#text", LogView).lines).split())
        for command in COMMANDS:
            assert command.id in text
            assert command.meaning in text
        assert "ctrl+k" in text


async def test_every_binding_of_every_screen_and_widget_has_an_id_of_the_table() -> None:
    from xray_tui.forms.save_dialog import SaveScreen
    from xray_tui.forms.screen import LaunchScreen
    from xray_tui.screens.dashboard import DashboardScreen
    from xray_tui.screens.gpu import GpuScreen
    from xray_tui.screens.run import RunScreen
    from xray_tui.screens.runs_folder import RunsFolderScreen
    from xray_tui.screens.text_screen import TextScreen
    from xray_tui.screens.while_away import AwayScreen, ReportList
    from xray_tui.widgets.job_list import JobList
    from xray_tui.widgets.live_log import LiveLog

    known = {command.id for command in COMMANDS}
    bound = set()
    screens = (ConfirmScreen, DashboardScreen, GpuScreen, LaunchScreen, SaveScreen, RunsFolderScreen, TextScreen)
    screens += (AwayScreen, ReportList, RunScreen)
    for kind in (XrayApp, *screens, Leaderboard, GpuStrip, JobList, LogView, LiveLog):
        bound |= {binding.id for binding in kind.BINDINGS}
    assert bound <= known


async def test_a_key_that_the_settings_move_works_and_the_old_one_does_not(make_app: MakeApp) -> None:
    app = make_app(keymap={"board.sort": "f2"})
    async with app.run_test() as pilot:
        board = await opened(pilot)
        await pilot.press("s")
        assert board.sort.column == "rank"
        await pilot.press("f2")
        assert board.sort.column == "run"


def test_a_key_that_would_do_two_things_in_one_place_is_named() -> None:
    assert list(keymap_problems({command.id: command.keys for command in COMMANDS})) == []
    assert list(keymap_problems({"board.export": "t"})) == [
        "keymap: board.export: t is also the key of launch.train; the default is kept; choose another key"
    ]
    assert list(keymap_problems({"board.mark": "slash"})) == [
        "keymap: board.mark: / is also the key of board.filter; the default is kept; choose another key"
    ]
    assert list(keymap_problems({"board.export": "t", "launch.train": "x"})) == []
    assert list(keymap_problems({"form.save": "t", "jobs.open": "space"})) == []  # never at the same time


async def test_what_is_wrong_in_the_keymap_and_theme_is_said(make_app: MakeApp) -> None:
    app = make_app(keymap={"job.stopp": "x", "board.export": "no such key"}, theme="pink")
    async with app.run_test() as pilot:
        await opened(pilot)
        said = notes(app)
        assert "keymap: job.stopp: unknown command; did you mean job.stop?" in said
        assert any("'no such key' is not a key" in line for line in said)
        assert any("theme: pink" in line for line in said)


async def test_digits_and_keys_of_the_board_lead_to_the_panels_and_a_key_of_another_panel_is_explained(
    make_app: MakeApp, jobs: tuple[Job, ...], gpus: Gpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        board = await opened(pilot)
        await pilot.press("1")
        assert notes(app) == ["There is no GPU"]
        app.post_message(JobsChanged(jobs))
        app.post_message(GpuSampled(gpus))
        await pilot.pause()
        for key, panel in (("1", "gpus"), ("3", "jobs"), ("4", "log"), ("2", "board")):
            await pilot.press(key)
            assert app.focused is app.screen.query_one(f"#{panel}")
        await pilot.press("K")
        assert not isinstance(app.screen, ConfirmScreen)
        assert "K works in the panel Jobs: Stop the job, after a confirmation" in notes(app)
        board.move_to(board.shown_runs.index("baseline_posmetric"))
        await pilot.press("y")
        assert app.clipboard == str(app.runs / "baseline_posmetric")
        opened_files: list[Path] = []
        monkeypatch.setattr(app, "show_in_pager", lambda path, *_: opened_files.append(path))
        await pilot.press("o")
        assert opened_files == [app.runs / "baseline_posmetric" / "config.yaml"]
        await pilot.press("J")
        assert dashboard(app).jobs.has_focus
        assert dashboard(app).jobs.job.id == "j3"


async def test_messages_come_one_at_a_time_without_repeats_and_wait_while_a_screen_has_no_line(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        line = dashboard(app).query_one(MessageLine)
        app.say("first")
        app.say("[bold]second", "warning")
        app.say("first")
        await until(pilot, lambda: " first " in screen_text(app))
        assert notes(app) == ["[bold]second", "first"]
        assert "second" not in screen_text(app)
        rows = screen_text(app).splitlines()
        assert rows[-2].strip() == "first"
        assert "quit" in rows[-1]
        app._drop_message(("first", "information"))
        await until(pilot, lambda: " ! [bold]second" in screen_text(app))
        await pilot.press("question_mark")
        app.say("third")
        await pilot.pause()
        assert "third" not in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: " third " in screen_text(app))
        app.messages.clear()
        app.show_message()
        assert not line.display


async def test_the_key_bar_follows_focus_and_state_and_a_key_that_cannot_act_says_why(
    make_app: MakeApp, jobs: tuple[Job, ...], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    app = make_app(tmp_path / "empty")

    def bar() -> str:
        return screen_text(app).splitlines()[-1]

    async with app.run_test(size=(160, 40)) as pilot:
        await until(pilot, lambda: "No test artifacts yet" in screen_text(app))
        assert "space mark" not in bar()
        assert "t train" in bar()
        await pilot.press("space")
        assert notes(app) == ["There is no run under the cursor"]
        app.post_message(JobsChanged(jobs))
        await until(pilot, lambda: dashboard(app).jobs.job is not None)
        assert dashboard(app).jobs.select_run("challenge_dual_head_v2")
        await until(pilot, lambda: "K stop" in bar() and "H hold" in bar() and "R resume" not in bar())
        assert dashboard(app).jobs.select_run("deeplab_full")
        await until(pilot, lambda: "R resume" in bar() and "K stop" not in bar() and "H hold" not in bar())
        await pilot.press("K")
        assert notes(app)[-1] == "The job under the cursor has ended"
