"""What the user has set: the settings file, and the command for the end of a job."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from engine.contract.text import clean
from xray_tui.doctor.finding import Finding, bad, ok, warn
from xray_tui.doctor.patient import Patient
from xray_tui.settings import settings_path


def judge_settings(problems: Sequence[str]) -> list[Finding]:
    """What `load_settings` said of the file."""
    path = clean(str(settings_path()))
    if problems:
        return [warn("settings", clean(line), f"edit {path}") for line in problems]
    there = os.path.exists(settings_path())  # noqa: PTH110 - a folder that is closed to us is no error
    return [ok("settings", path if there else f"{path}: not there, all is as delivered")]


def on_end(patient: Patient) -> list[Finding]:
    """Whether the program of `on_end` is there; it is not run."""
    command = patient.settings.on_end
    if not command:
        return []
    program = os.path.expanduser(command[0])  # noqa: PTH111 - as the job does it
    if shutil.which(program) is None:
        return [bad("on_end", f"{clean(command[0])}: no such program", "give its path in the settings")]
    return [ok("on_end", f"{clean(command[0])}, after each job's end")]
