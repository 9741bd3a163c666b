"""Which folder the board is of: an empty one, one that has to be asked for, one that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.piloting import MakeApp, dashboard, screen_text, until


async def test_a_folder_without_artifacts_says_what_to_do(make_app: MakeApp, tmp_path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    app = make_app(empty)
    async with app.run_test() as pilot:
        await until(pilot, lambda: "No test artifacts yet" in screen_text(app))
        assert "t trains" in screen_text(app)


async def test_without_a_runs_folder_it_asks_and_can_make_one(make_app: MakeApp, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = make_app(None)
    async with app.run_test() as pilot:
        await pilot.pause()
        line = app.screen.query_one("#folder")
        line.value = str(tmp_path / "new" / "runs")
        await pilot.press("enter")
        assert not (tmp_path / "new").exists()
        await pilot.press("enter")
        assert (tmp_path / "new" / "runs").is_dir()
        await until(pilot, lambda: app.screen is dashboard(app))
        assert app.runs == tmp_path / "new" / "runs"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("~nosuchuser/runs", "there is no such user"),
        ("x" * 300, "File name too long"),
        ("/proc/version/x", "Not a dir"),
    ],
)
async def test_a_runs_folder_that_cannot_be_is_said_and_can_be_typed_again(
    make_app: MakeApp, typed: str, said: str
) -> None:
    app = make_app(None)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        app.screen.query_one("#folder").value = typed
        await pilot.press("enter", "enter")
        assert said in screen_text(app)
        assert app.screen.query_one("#folder").has_focus


async def test_a_working_folder_with_a_bad_name_is_shown_clean_and_opened_as_it_is(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "e\x1b[31mx\u202ey"
    (folder / "runs" / "empty").mkdir(parents=True)
    monkeypatch.chdir(folder)
    app = make_app(None)
    async with app.run_test(size=(200, 30)) as pilot:
        await pilot.pause()
        shown = screen_text(app)
        assert app.screen.query_one("#folder").value.endswith("e␛[31mx\N{REPLACEMENT CHARACTER}y/runs")
        assert shown.replace("\n", "").isprintable()
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is dashboard(app))
        assert app.runs == folder / "runs"
