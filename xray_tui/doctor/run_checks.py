"""Runs all checks in parallel threads, so that a disk or a driver that hangs does not delay the other checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from threading import Thread

from engine.contract.text import clean
from xray_tui.doctor.checks.engine import app, engine
from xray_tui.doctor.checks.file_watching import watching
from xray_tui.doctor.checks.folders import lease_place, runs_place
from xray_tui.doctor.checks.gpus import gpus
from xray_tui.doctor.checks.resources import disk, limits, quota, shared_memory
from xray_tui.doctor.checks.session_end import ending
from xray_tui.doctor.checks.settings import export, log_file, on_end
from xray_tui.doctor.checks.torch_build import torch_build
from xray_tui.doctor.findings import Context, Finding, unknown

Check = Callable[[Context], list[Finding]]

CHECKS: Sequence[tuple[str, Check]] = (
    ("xray-tui", app),
    ("driver", gpus),
    ("torch", torch_build),
    ("engine", engine),
    ("runs", runs_place),
    ("disk", disk),
    ("quota", quota),
    ("watching", watching),
    ("leases", lease_place),
    ("session", ending),
    ("shared memory", shared_memory),
    ("open files", limits),
    ("on_end", on_end),
    ("export", export),
    ("log file", log_file),
)

TIMEOUT = 30.0  # seconds
LONGER = {"driver": 45.0, "torch": 125.0}


def run_checks(
    context: Context, checks: Sequence[tuple[str, Check]] = CHECKS, timeout: float = TIMEOUT
) -> Iterator[Finding]:
    """The findings in the order of the checks, each as soon as all checks before it are done."""
    began = time.monotonic()
    results: dict[str, list[Finding]] = {}
    threads = [Thread(target=_run, args=(name, check, context, results), daemon=True) for name, check in checks]
    for thread in threads:
        thread.start()
    for (name, _), thread in zip(checks, threads, strict=True):
        limit = LONGER.get(name, timeout)
        thread.join(max(0.0, began + limit - time.monotonic()))
        yield from results.get(name) or ([unknown(name, f"no answer within {limit:g} s")] if thread.is_alive() else [])


def _run(name: str, check: Check, context: Context, results: dict[str, list[Finding]]) -> None:
    try:
        results[name] = check(context)
    except Exception as error:  # a check that fails must not hide the results of the others
        results[name] = [unknown(name, clean(f"{type(error).__name__}: {error}"))]
