"""Every command has its id, its key and its line in the help; the settings may move the keys."""

from __future__ import annotations

from tests.app.piloting import MakeApp, notes, opened
from xray_tui.app.app import XrayApp
from xray_tui.keymap import COMMANDS, keymap_problems
from xray_tui.screens.confirm import ConfirmScreen
from xray_tui.widgets.gpu_strip import GpuStrip
from xray_tui.widgets.leaderboard import Leaderboard
from xray_tui.widgets.log_view import LogView


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
    from xray_tui.screens.runs_folder import RunsFolderScreen
    from xray_tui.screens.text_screen import TextScreen
    from xray_tui.widgets.job_list import JobList
    from xray_tui.widgets.live_log import LiveLog

    known = {command.id for command in COMMANDS}
    bound = set()
    screens = (ConfirmScreen, DashboardScreen, GpuScreen, LaunchScreen, SaveScreen, RunsFolderScreen, TextScreen)
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
    async with app.run_test(notifications=True) as pilot:
        await opened(pilot)
        said = notes(app)
        assert "keymap: job.stopp: unknown command; did you mean job.stop?" in said
        assert any("'no such key' is not a key" in line for line in said)
        assert any("theme: pink" in line for line in said)
