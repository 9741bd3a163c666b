"""Looks at test: the file that counts the choices which were scored on a test split, by all runs and users."""

from __future__ import annotations

import errno
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from engine.contract.files import relative_to_file
from engine.contract.names import BOARD, JOBS, LOOKS, RUNS
from engine.process.progress import user_name

LARGEST = 64 << 20


def record_look(run: Path, data: str, key: str, artifact: Path) -> dict[str, int] | None:
    """Record that a choice of the run was scored on the test data with this fingerprint. The same choice is recorded
    once. Returns its numbers among the choices on these data: of the run, and of all runs (`data`). None where the file
    cannot be read and written."""
    path = looks_file(run)
    choice = (relative_to_file(run, path), key)
    values = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "user": user_name(), "data": data, "key": key}
    values |= {"run": choice[0], "artifact": relative_to_file(artifact, path)}
    try:
        descriptor = _open(path)
        try:
            choices = _choices(descriptor, data)
            if choice not in choices:
                size = os.fstat(descriptor).st_size
                ends_line = size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
                os.write(descriptor, f"{'' if ends_line else chr(10)}{json.dumps(values)}\n".encode())
                choices = _choices(descriptor, data)  # others may have appended in between
        finally:
            os.close(descriptor)
        of_run = [other for other in choices if other[0] == choice[0]]
        return {"run": of_run.index(choice) + 1, "data": choices.index(choice) + 1}
    except (OSError, ValueError):
        return None


def looks_file(run: Path) -> Path:
    """The file of a run: in the runs folder that holds it, which the app has marked or which is named runs, else in its
    parent folder."""
    parents = run.resolve().parents
    for folder in parents:
        if folder.name == RUNS or (folder / JOBS).exists() or (folder / BOARD).exists():
            return folder / LOOKS
    return parents[0] / LOOKS


def _open(path: Path) -> int:
    """Open the file to read and append, and make it if it is missing, writable for those who can write to its folder.
    Raises OSError, also where it is no regular file."""
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        os.fchmod(descriptor, path.parent.stat().st_mode & 0o666)
    except FileExistsError:
        descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return descriptor


def _choices(descriptor: int, data: str) -> list[tuple[str, str]]:
    """The distinct choices on these data as (run relative to the file's folder, selection key), in the order of their
    first lines. Broken lines are skipped: every user may append."""
    choices: dict[tuple[str, str], None] = {}
    for line in os.pread(descriptor, LARGEST, 0).splitlines():
        try:
            values = json.loads(line)
            run, key = values["run"], values["key"]
            if values["data"] == data and isinstance(run, str) and isinstance(key, str):
                choices[run, key] = None
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return list(choices)
