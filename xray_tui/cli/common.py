"""What several commands share: the option --runs, the jobs of that folder, and output."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import BadInput
from engine.contract.text import clean

if TYPE_CHECKING:
    from xray_tui.jobs.model.job import Job
    from xray_tui.jobs.storage.job_store import JobStore


def add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", help="the runs folder; default: the settings' runs_dir, else ./runs"
    )


def find_runs(options: argparse.Namespace) -> Path:
    """The runs folder: --runs, or the settings' `runs_dir`, or ./runs, in this order. Raises BadInput if unreadable."""
    from xray_tui.settings import runs_folder, settings_for

    return require_folder(runs_folder(options.runs, settings_for(options)))


def require_folder(folder: Path) -> Path:
    """Return `folder`. Raises BadInput if it is not a readable folder."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        hint = "give a runs folder, or set runs_dir in the settings"
        raise BadInput(f"{clean(str(folder))}: {error.strerror or error}; {hint}") from None
    except ValueError:
        raise BadInput(f"{clean(str(folder))}: invalid name; expected a runs folder") from None
    return folder


def open_store(options: argparse.Namespace) -> JobStore:
    """The jobs of the runs folder. Raises BadInput if the folder does not exist."""
    from xray_tui.jobs.storage.job_store import JobStore

    return JobStore(find_runs(options))


def find(store: JobStore, text: str) -> Job:
    """The job with this id, or the only job whose id ends with `text`, such as `k3fz`. Raises BadInput."""
    jobs = [job for job in store.jobs() if text and job.id.endswith(text)]
    if len(jobs) > 1:
        raise BadInput(f"{clean(text)}: ambiguous: {', '.join(job.id for job in jobs)}; give more of the id")
    return jobs[0] if jobs else store.get(text)


def print_utf8(text: str) -> None:
    """Print as UTF-8 in every locale, without buffering. With LANG=C, print() would raise on a name with an umlaut."""
    sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")
    sys.stdout.buffer.flush()


def write_file(path: Path, text: str, mode: int | None = None) -> None:
    """Write a file atomically. Raises BadInput."""
    from engine.contract.files import write_whole

    if path.is_dir():
        raise BadInput(f"{clean(str(path))}: a folder; expected a file")
    try:
        write_whole(path, text, mode)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{clean(str(path))}: cannot be written: {reason}") from None
