"""The settings file, and the files, folders and the program that it names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from engine.contract.text import clean
from xray_tui.doctor.context import Patient
from xray_tui.doctor.report import Finding, bad, ok, warn
from xray_tui.jobs.launch.program import program_problem
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
    if (problem := program_problem([program, *command[1:]], Path.cwd(), os.environ)) is not None:
        return [bad("on_end", problem, "mend on_end in the settings; jobs that are launched already keep the old one")]
    if "/" in program and not program.startswith("/"):
        relative = f"{clean(program)} is looked for in the folder that a job is launched from"
        return [warn("on_end", relative, "give its absolute path in the settings")]
    return [ok("on_end", f"{clean(command[0])}, after each job's end")]


def runs_dir(patient: Patient) -> list[Finding]:
    """The settings' runs folder, where another one is looked at."""
    named = patient.settings.runs_dir
    if named is None or named.absolute() == patient.runs or named.is_dir():
        return []
    return [bad("runs_dir", f"{clean(str(named))}: no such folder", "make it, or mend runs_dir in the settings")]


def export(patient: Patient) -> list[Finding]:
    """Whether the file of `export` can be written; it is not touched."""
    path = patient.settings.export
    if path is None:
        return []
    shown, remedy = clean(str(path)), "mend export in the settings"
    if path.is_dir():
        return [bad("export", f"{shown}: a folder; expected a file", remedy)]
    if not path.absolute().parent.is_dir():
        return [bad("export", f"{shown}: its folder does not exist", remedy)]
    if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        return [bad("export", f"{shown}: you cannot write into its folder", remedy)]
    return [ok("export", shown)]
