"""The entries of the command palette: the commands of the dashboard and its panels, and the choice of a theme."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from textual.app import App, SystemCommand

from xray_tui.keymap import COMMANDS, shown_keys

if TYPE_CHECKING:
    from xray_tui.screens.dashboard import DashboardScreen


def palette_commands(app: App[None], dashboard: DashboardScreen, keymap: Mapping[str, str]) -> Iterator[SystemCommand]:
    """One entry per command, with its key in this keymap; each acts on the panel where its key works."""
    panels = {"dashboard": dashboard, "board": dashboard.board, "jobs": dashboard.jobs, "gpus": dashboard.gpus}
    for command in COMMANDS:
        if command.place in panels or command.id in ("app.help", "app.quit"):
            node = panels.get(command.place, dashboard)
            title = f"{command.label.capitalize()}: {command.meaning}" if command.label else command.meaning
            keys = f"key {shown_keys(keymap.get(command.id, command.keys))}"
            yield SystemCommand(title, keys, partial(app.run_action, command.action, node))
    hint = "for this session; set `theme` in the settings to keep it"
    yield SystemCommand("Theme: choose other colours", hint, app.action_change_theme)
