"""Images, comparison and cases page of runs, with a stand-in for the engine."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest
from textual.pilot import Pilot

from tests.app.piloting import MakeApp, notes, opened, screen_text, until
from xray_tui.app.app import XrayApp
from xray_tui.feeds.picture_process import Drawing, Request
from xray_tui.logs.pager import find_pager
from xray_tui.screens.compare import CompareScreen
from xray_tui.screens.images import ImageList, ImagesScreen
from xray_tui.widgets.picture import picture_lines

STAND_IN = Path(__file__).with_name("stand_in_engine.py")


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xray_tui.feeds.engine_command.ENGINE", (sys.executable, str(STAND_IN)))


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if str(STAND_IN) in child.cmdline()]


async def shown(pilot: Pilot[None], *texts: str) -> None:
    await until(pilot, lambda: all(text in screen_text(pilot.app) for text in texts))


def names(app: XrayApp) -> list[str]:
    return [case.id for case in app.screen.query_one(ImageList)._cases]


async def test_the_worst_image_comes_first_and_other_lists_are_a_key_away(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("i")
        await shown(pilot, "Dice 0.500 at 0.5 · presence 0.50")
        assert names(app) == ["b", "c", "a"]
        for key, expected in (("M", ["b"]), ("F", ["d"]), ("s", ["a", "b", "c", "d"]), ("w", ["b", "c", "a"])):
            await pilot.press(key)
            assert names(app) == expected
        await pilot.press("slash", "c", "enter")
        assert names(app) == ["c"]
        await pilot.press("escape")
        assert names(app) == ["b", "c", "a"]
        assert isinstance(app.screen, ImagesScreen)


async def test_dice_follows_the_threshold_and_the_picture_the_zoom(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("i")
        await shown(pilot, "Dice 0.500 at 0.5")
        await pilot.press("n")
        await shown(pilot, "  c ─")
        await pilot.press("less_than_sign", "less_than_sign")
        await shown(pilot, "Dice 0.400 at 0.4 (0.5) · presence 0.50")
        await pilot.press(*["less_than_sign"] * 20)
        await shown(pilot, "Dice 0.010 at 0.01")
        narrow = max(line.count("▒") for line in screen_text(app).splitlines())
        await pilot.press("plus")
        await until(pilot, lambda: any(line.count("▒") > narrow for line in screen_text(app).splitlines()))


async def test_the_process_ends_with_the_screen(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert not children()
        await pilot.press("space", "space", "i")
        await until(pilot, lambda: screen_text(app).count("Dice 0.500 at 0.5") == 2)
        assert len(children()) == 2
        await pilot.press("q")
        await until(pilot, lambda: not children())
        assert app.is_running


async def test_without_probabilities_the_command_is_named_and_the_form_is_a_key_away(
    make_app: MakeApp, runs: Path
) -> None:
    (runs / "blend_dual_presence_valjoint").rename(runs / "broken_1")
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("i")
        await shown(pilot, "xray-engine evaluate --run x", "e opens")
        assert "Reading" not in screen_text(app)
        await pilot.press("e")
        await until(pilot, lambda: type(app.screen).__name__ == "LaunchScreen")
        assert app.screen.context.current == "broken_1"


async def test_marked_runs_are_compared_and_an_image_opens_in_both(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("space", "m")
        assert "Mark two or more runs" in notes(app)[-1]
        await pilot.press("space", "m")
        await shown(pilot, "p = 0.0123", "▼ -0.2000 to -0.0500", "higher Dice: B 1, A 2")
        await pilot.press("G")
        await shown(pilot, "A 0.001   B (absent)")
        screen = app.screen
        assert isinstance(screen, CompareScreen)
        listed = screen.query_one("#compare")
        await pilot.press("enter")
        assert "Put the cursor on an image" in notes(app)[-1]
        listed.move_to([line.image for line in listed.lines].index("a"))
        await pilot.press("enter")
        await until(pilot, lambda: screen_text(app).count("  a ─") == 2)
        await pilot.press("escape")
        assert app.screen is screen


async def test_a_comparison_that_fails_is_one_line(make_app: MakeApp, runs: Path) -> None:
    (runs / "blend_dual_presence_valjoint").rename(runs / "broken_1")
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("space", "space", "m")
        await shown(pilot, "no probabilities;", "makes them")
        await pilot.press("enter", "q")
        assert not isinstance(app.screen, CompareScreen)


async def test_the_run_screen_writes_the_page_of_cases_and_copies_the_path(
    make_app: MakeApp, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, copied = make_app(), list[str]()
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    folder = runs / "blend_dual_presence_valjoint"
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("enter", "C")
        await until(pilot, lambda: any("cases.html: 24 images" in note for note in notes(app)))
        assert (folder / "cases.html").is_file()
        await pilot.press("y")
        assert copied == [str(folder)]
        await pilot.press("o")
        assert "there is no config to open" in notes(app)[-1]
        await pilot.press("i")
        await shown(pilot, "Dice 0.500 at 0.5")


def test_colours_become_half_blocks_or_letters() -> None:
    pixels = bytes([0, 158, 255, 255, 140, 0, 255, 255, 255, 0, 0, 0] * 2)
    drawing = Drawing(Request("a", 2, 4, 0.5, False), rows=2, columns=4, pixels=pixels)
    assert ["".join(part.text for part in line) for line in picture_lines(drawing, letters=True)] == ["#o█ "]
    line = picture_lines(drawing, letters=False)[0]
    assert [str(part.style) for part in line] == ["on #009eff", "on #ff8c00", "on #f8f8f8", "on #000000"]


def test_a_config_opens_in_the_editor_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "cat")
    for editor, expected in (("tail -n 3", ["tail", "-n", "3"]), ("no-such-editor", ["cat"]), ("'unclosed", ["cat"])):
        monkeypatch.setenv("EDITOR", editor)
        assert find_pager("EDITOR", "PAGER") == expected
