"""All looks at once, each in a thread of its own: a disk or a driver that does not answer holds up no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from threading import Thread

from engine.contract.text import clean
from xray_tui.doctor.checks.engine import app, engine
from xray_tui.doctor.checks.file_watching import watching
from xray_tui.doctor.checks.folders import lease_place, runs_place
from xray_tui.doctor.checks.gpus import gpus
from xray_tui.doctor.checks.limits import limits
from xray_tui.doctor.checks.locks import lease_files
from xray_tui.doctor.checks.log_file import log_file
from xray_tui.doctor.checks.session_end import ending
from xray_tui.doctor.checks.settings import export, on_end, runs_dir
from xray_tui.doctor.checks.space import disk, quota, shared_memory
from xray_tui.doctor.checks.torch_build import torch_build
from xray_tui.doctor.context import Patient
from xray_tui.doctor.report import Finding, unknown

Look = Callable[[Patient], list[Finding]]

LOOKS: Sequence[tuple[str, Look]] = (
    ("xray-tui", app),
    ("driver", gpus),
    ("torch", torch_build),
    ("engine", engine),
    ("runs", runs_place),
    ("runs_dir", runs_dir),
    ("disk", disk),
    ("quota", quota),
    ("watching", watching),
    ("leases", lease_place),
    ("queue", lease_files),
    ("session", ending),
    ("shared memory", shared_memory),
    ("open files", limits),
    ("on_end", on_end),
    ("export", export),
    ("log file", log_file),
)

PATIENCE = 30.0
LONGER = {"driver": 45.0, "torch": 125.0}


def examine(
    patient: Patient, looks: Sequence[tuple[str, Look]] = LOOKS, patience: float = PATIENCE
) -> Iterator[Finding]:
    """What the looks find, in their order, each as soon as it and those before it are there."""
    began = time.monotonic()
    answers: dict[str, list[Finding]] = {}
    threads = [Thread(target=_look, args=(name, look, patient, answers), daemon=True) for name, look in looks]
    for thread in threads:
        thread.start()
    for (name, _), thread in zip(looks, threads, strict=True):
        limit = LONGER.get(name, patience)
        thread.join(max(0.0, began + limit - time.monotonic()))
        yield from answers.get(name) or ([unknown(name, f"no answer within {limit:g} s")] if thread.is_alive() else [])


def _look(name: str, look: Look, patient: Patient, answers: dict[str, list[Finding]]) -> None:
    try:
        answers[name] = look(patient)
    except Exception as error:  # one look that fails is no reason to hide the others
        answers[name] = [unknown(name, clean(f"{type(error).__name__}: {error}"))]
