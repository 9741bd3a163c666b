"""The help screen: every key, what it does, and the id by which the settings can move it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.contract.text import clean
from xray_tui.keymap import COMMANDS, PLACES, shown_keys
from xray_tui.screens.text_screen import TextScreen, wrapped

KEYS, ID, SIGN = 12, 15, 9
"""Cells of the columns; what a command does comes last."""

SIGNS = {
    "● + ~": "a run that is marked, new, just changed",
    "bold": "the best of its column",
    "◦ ▹ ▶": "a job that is queued, starting, running",
    "‖ ⊘": "a job that is held, blocked because another did not succeed",
    "✓ ✗ ■ ?": "a job that succeeded, failed, was stopped, is lost",
    "▁▄█": "a GPU's utilisation over the last minute, the newest on the right",
    "○ ● ! ?": "a GPU that is free for the next job, taken, in trouble, perhaps stalled",
    "0.49 val": "a threshold that was chosen on validation",
    "0.25 fix": "a threshold that was fixed beforehand",
    "0.30 ?": "a threshold of which nobody says where it came from",
    "of k": "the best of so many test artifacts of its run; taking the best is a choice on test, too",
}
"""What stands in the dashboard's lists."""


class HelpScreen(TextScreen):
    """Made from the table of commands, with the keys as the settings have moved them."""

    def __init__(self, keymap: Mapping[str, str], settings: Path) -> None:
        super().__init__("Help", help_lines(keymap, settings))


def help_lines(keymap: Mapping[str, str], settings: Path) -> list[str]:
    """An entry a command, under the place where its keys work; then the signs."""
    lines: list[str] = []
    for place, heading in PLACES.items():
        lines += ["", heading]
        for command in COMMANDS:
            if command.place == place:
                keys = shown_keys(keymap.get(command.id, command.keys))
                lines += wrapped(f"{keys:<{KEYS}} {command.id:<{ID}} {command.meaning}", "  ", " " * (KEYS + ID + 4))
    lines += ["", "Signs"]
    for sign, meaning in SIGNS.items():
        lines += wrapped(f"{sign:<{SIGN}} {meaning}", "  ", " " * (SIGN + 3))
    lines += ["", *wrapped(f"Keys are moved by their ids: `keymap: {{job.stop: ctrl+k}}` in {clean(str(settings))}")]
    return [f" {line}".rstrip() for line in lines[1:]]
