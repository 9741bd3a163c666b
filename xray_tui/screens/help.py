"""The help screen: every key with its command, and the id that `keymap` in the settings uses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.contract.text import clean
from xray_tui.keymap import COMMANDS, PLACES, shown_keys
from xray_tui.screens.text_screen import wrapped

KEYS, ID, SIGN = 12, 15, 9
"""Widths of the columns in cells; the meaning takes the rest."""

SIGNS = {
    "● + ~": "a run that is marked, new or just changed",
    "bold": "the best value of its column",
    "▼ ▲": "the column that the board is sorted by, best or worst first",
    "+3": "columns that do not fit; a wider terminal shows them, and Enter shows all figures of a run",
    "▷": "a run that is still being trained, with its validation so far; it has no rank and is not exported",
    "◦ ▹ ▶": "a job that is queued, starting or running",
    "‖ ⊘": "a job that is held, or blocked because a job before it did not succeed",
    "□": "a job that is being stopped",
    "✓ ✗ ■ ?": "a job that succeeded, failed, was stopped or is lost",
    "▁▄█": "a GPU's utilisation over the last minute, the newest on the right",
    "○ ● ! ?": "a GPU that is free for the next job, taken, faulty or perhaps stalled",
    "0.49 val": "a threshold chosen on validation",
    "0.25 fix": "a threshold fixed beforehand",
    "0.30 ?": "a threshold of unknown origin",
    "of k": "how many test artifacts the run has; taking the best of them is a choice on test, too",
}
"""The signs of the dashboard's lists and their meanings."""


def help_lines(keymap: Mapping[str, str], settings: Path) -> list[str]:
    """One entry per command with its keys, grouped by the place where they work; then the signs."""
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
    lines += ["", *wrapped(f"To change a key, use its id: `keymap: {{job.stop: ctrl+k}}` in {clean(str(settings))}")]
    return [f" {line}".rstrip() for line in lines[1:]]
