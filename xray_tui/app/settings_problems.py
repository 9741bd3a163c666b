"""The values of the settings that a doctor reports: they are read without an error, but mean nothing."""

from __future__ import annotations

from pathlib import Path

from textual.app import App

from engine.contract.errors import BadInput
from engine.contract.names import BOARD
from xray_tui.app.themes import choose_theme
from xray_tui.board.rules_file import read_rules
from xray_tui.jobs.model.gpu_policy import policy_of
from xray_tui.keymap import keymap_problems
from xray_tui.settings import Settings
from xray_tui.widgets.columns import resolve_metrics


def settings_problems(settings: Settings, runs: Path) -> list[str]:
    """One line for each value of hours, foreign, max_gpus, slots, theme, columns and keymap that is not usable."""
    problems: list[str] = []
    try:
        policy_of(settings)
    except BadInput as error:
        problems += error.lines
    problems += choose_theme(App(), settings.theme)
    rules, _ = read_rules(runs / BOARD)  # the defaults if there is no board.yaml
    return [*problems, *resolve_metrics(settings.columns, rules)[1], *keymap_problems(settings.keymap)]
