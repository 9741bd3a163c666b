"""The help screen: every key, what it does, and the id by which the settings can move it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xray_tui.commands import COMMANDS, PLACES, shown_keys
from xray_tui.screens.text_screen import TextScreen


class HelpScreen(TextScreen):
    """Made from the table of commands, with the keys as the settings have moved them."""

    def __init__(self, keymap: Mapping[str, str], settings: Path) -> None:
        super().__init__("Help", help_lines(keymap, settings))


def help_lines(keymap: Mapping[str, str], settings: Path) -> list[str]:
    """A line a command, under the place where its keys work."""
    lines = []
    for place, heading in PLACES.items():
        lines += ["", f" {heading}"]
        for command in COMMANDS:
            if command.place == place:
                keys = shown_keys(keymap.get(command.id, command.keys))
                lines.append(f"   {keys:<14} {command.meaning:<58} {command.id}")
    lines += [
        "",
        " Signs",
        "   ●  marked     +  new     ~  just changed     bold: the best of its column",
        "   ◦  queued     ▹  starting     ▶  running     ✓  succeeded     ✗  failed     ■  stopped     ?  lost",
        "   0.49 val  a threshold chosen on validation     0.25 fix  fixed beforehand     0.30 ?  nobody says",
        "   of k      the best of so many test artifacts of its run; taking the best is a choice on test, too",
        "",
        f" Keys are moved by their ids: `keymap: {{job.stop: ctrl+k}}` in {settings}",
    ]
    return lines[1:]
