"""The outcome of a job, derived from the exit status, the engine's end record and the stop order."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.contract.errors import Exit
from engine.contract.names import END, LOG
from engine.contract.text import STAMPED, clean, clean_log_line
from xray_tui.jobs.model.job import Job, State, parse_object
from xray_tui.jobs.storage.job_store import read_stop
from xray_tui.system.safe_files import open_regular, read_small

NO_RECORD = "its supervisor and its engine died without an end record"
NO_STATUS = "its supervisor was killed first, so its exit status is unknown"

_TAIL = 8192
"""Bytes at the end of the log in which the last line is searched."""
_LONGEST_CAUSE = 300
"""Maximum length of a cause, in characters."""


@dataclass(frozen=True, slots=True)
class EndRecord:
    """The end record that the engine writes as its last action. Peaks are in bytes."""

    code: int
    cause: str
    peak_memory: int | None = None
    peak_gpu_memory: int | None = None


Outcome = tuple[State, str | None, int | None]
"""State, cause and exit code of a job."""


def judge(
    status: int | None, end: EndRecord | None, stopped_by: str | None, last_line: str, writes_end: bool = True
) -> Outcome:
    """The final state, its cause and the exit code.

    `status` is the exit status: negative for a signal, None if unknown, in which case only the end record counts.
    A program that writes end records (`writes_end`) succeeds only with a record, because a parent that ignores SIGCHLD
    always sees status 0.
    """
    if end is None and status is None:
        if stopped_by:
            return State.STOPPED, f"stopped by {stopped_by}, without an end record", None
        return State.LOST, NO_RECORD if writes_end else NO_STATUS, None
    if end is None and status == Exit.DONE and writes_end:
        return State.FAILED, "ended without its end record", status
    code = status if status else (end.code if end else 0)
    if code == Exit.DONE:
        return State.SUCCEEDED, None, code
    stopped = bool(stopped_by) and (code < 0 or not writes_end)  # the exit codes of a command have no meaning here
    if stopped or (code == Exit.STOPPED and writes_end):
        killed = "; it had to be killed" if code == -signal.SIGKILL else ""
        return State.STOPPED, f"stopped by {stopped_by}{killed}" if stopped_by else f"stopped{killed}", code
    return State.FAILED, _failed(code, end, last_line, writes_end), code


def stopped_by(job: Job, folder: Path) -> str | None:
    """The user who asked to stop the job, with the host if it is another one; None if there is no stop order."""
    by = read_stop(folder)
    return None if by is None else by.removesuffix(f"@{job.host}")


def conclude(
    job: Job, folder: Path, status: int | None, stopped_by: str | None, cleared: bool, oom_killed: bool = False
) -> Job:
    """The job with its outcome and peak memory. `cleared` says whether all its processes have ended, `oom_killed`
    whether the kernel killed one in its control group for lack of memory. For the others see `judge`."""
    end = read_end(folder)
    last_line = last_log_line(folder, job.log_from)
    state, cause, code = judge(status, end, stopped_by, last_line, job.writes_end)
    if oom_killed and status == -signal.SIGKILL and state is State.FAILED:
        cause = "killed by the kernel: out of memory"
    if not cleared:
        cause = f"{cause or state}; one of its processes cannot be killed"
    if end is not None:
        job = replace(job, peak_memory=end.peak_memory, peak_gpu_memory=end.peak_gpu_memory)
    return replace(job, state=state, cause=cause, exit_code=code)


def _failed(code: int, end: EndRecord | None, last_line: str, writes_end: bool) -> str:
    if code < 0:
        return _killed(-code)
    reason = (end.cause if end and writes_end else "") or last_line
    plain = f"exit code {code}: {reason}".removesuffix(": ")
    if not writes_end:
        return plain
    if code == Exit.BAD_INPUT:
        return f"bad input: {reason}".removesuffix(": ")
    if code == Exit.OUT_OF_MEMORY:
        return reason if reason.startswith("out of memory") else "out of memory"
    if code == Exit.NO_SPACE:  # often without an end record, for which there was no space either
        return reason if reason.startswith("no space left") else f"no space left: {reason}".removesuffix(": ")
    return end.cause if end is not None and end.cause else plain


def _killed(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"killed by {name}"


def read_end(folder: Path) -> EndRecord | None:
    """The end record in a job's folder; None if it is missing or invalid."""
    try:
        values = parse_object(read_small(folder / END))
    except OSError:
        return None
    code, cause = values.get("code"), values.get("cause")
    if not isinstance(code, int) or not 0 <= code < 256:
        return None
    return EndRecord(
        code=code,
        cause=clean(cause)[:_LONGEST_CAUSE] if isinstance(cause, str) else "",
        peak_memory=_memory(values.get("peak_rss")),
        peak_gpu_memory=_memory(values.get("peak_gpu")),
    )


def _memory(value: Any) -> int | None:
    """A number of bytes; None for any other value, so that one too large for job.json does not lose the record."""
    return value if type(value) is int and 0 <= value < 1 << 63 else None


def last_log_line(folder: Path, begin: int = 0) -> str:
    """The last non-blank line of the log from byte `begin` on, safe to print; empty if there is none."""
    try:
        with os.fdopen(open_regular(folder / LOG), "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(begin, file.tell() - _TAIL))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    cleaned = (STAMPED.sub(r"\2", clean_log_line(line)).strip() for line in reversed(lines))
    return next((line[:_LONGEST_CAUSE] for line in cleaned if line), "")
