"""Dashboard, dialogs and form in Textual's themes: four of them, in `make test-long` all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from rich.color import ColorSystem
from rich.style import Style
from textual.color import Color
from textual.theme import BUILTIN_THEMES

from tests.app.piloting import MakeApp, opened, until
from xray_tui.app.app import XrayApp
from xray_tui.app.messages import GpuSampled, HostSampled, JobsChanged
from xray_tui.app.themes import XRAY, variable_defaults
from xray_tui.feeds.gpu_feed import Gpus
from xray_tui.feeds.host_feed import Host
from xray_tui.forms.screen import LaunchScreen
from xray_tui.screens.confirm import ConfirmScreen
from xray_tui.screens.gpu import GpuScreen
from xray_tui.screens.text_screen import TextScreen

LONG = bool(os.environ.get("XRAY_TUI_LONG"))
THEMES = sorted(BUILTIN_THEMES) if LONG else ["ansi-dark", "nord", "solarized-light", "textual-light"]
READABLE = 2.0
"""Contrast ratio (WCAG) below which text is taken for unreadable."""


@pytest.mark.parametrize("theme", THEMES)
async def test_dashboard_form_and_dialogs_are_readable_in_the_theme(
    make_app: MakeApp, jobs: Any, gpus: Gpus, host: Host, theme: str
) -> None:
    app = make_app(theme=theme)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        for message in (GpuSampled(gpus), HostSampled(host), JobsChanged(jobs)):
            app.post_message(message)
            await pilot.pause()
        assert app.theme == theme
        assert_readable(app)
        await pilot.press("3", "K")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))  # it dims the dashboard
        await pilot.press("escape", "question_mark")
        await until(pilot, lambda: isinstance(app.screen, TextScreen))
        assert_readable(app)
        await pilot.press("escape", "1", "enter")
        await until(pilot, lambda: isinstance(app.screen, GpuScreen))
        assert_readable(app)
        await pilot.press("escape", "t")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen) and not app.screen.holds_keys)
        assert_readable(app)


def assert_readable(app: XrayApp) -> None:
    """All text on the screen stands out from its background."""
    hidden = [text for text, style in texts(app) if style.color and style.bgcolor and contrast(style) < READABLE]
    assert not hidden


def texts(app: XrayApp) -> Iterator[tuple[str, Style]]:
    for strip in app.screen._compositor.render_strips():
        for part in strip:
            if part.style is not None and any(character.isalnum() for character in part.text):
                yield part.text, part.style


def contrast(style: Style) -> float:
    """1 for equal colours to 21; the terminal's own colours are not known and pass."""
    assert style.color
    assert style.bgcolor
    if style.reverse or None in (style.color.triplet, style.bgcolor.triplet):
        return 21.0
    light, dark = sorted((luminance(style.color.triplet), luminance(style.bgcolor.triplet)), reverse=True)  # type: ignore[arg-type]
    return (light + 0.05) / (dark + 0.05)


def luminance(rgb: tuple[int, int, int]) -> float:
    parts = (part / 255 for part in rgb)
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("name", sorted({"xray", *BUILTIN_THEMES} - {"ansi-dark", "ansi-light"}))
def test_a_cursor_row_differs_from_the_background_in_256_and_16_colours_too(name: str) -> None:
    theme = XRAY if name == "xray" else BUILTIN_THEMES[name]
    variables = variable_defaults(theme)
    background = Color.parse(theme.to_color_system().generate()["background"]).rich_color
    for row in ("cursor-row", "cursor-row-blurred"):
        color = Color.parse(variables[row]).rich_color
        for system in (ColorSystem.EIGHT_BIT, ColorSystem.STANDARD):
            assert color.downgrade(system) != background.downgrade(system), (row, system)
