"""Show a file in the user's pager, which has the terminal until it ends."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path


def find_pager() -> list[str] | None:
    """The command of $PAGER, else less or more; None if none of them is installed."""
    try:
        own = shlex.split(os.environ.get("PAGER", ""))
    except ValueError:  # a quotation mark without its partner
        own = []
    return next((command for command in (own, ["less"], ["more"]) if command and shutil.which(command[0])), None)


def page(pager: list[str], path: Path) -> None:
    """Run the pager on the file and wait for its end. Raises OSError. For the main thread.

    Keys such as Ctrl+C signal the pager and this process alike: this process ignores them, and stops with the pager
    on Ctrl+Z. Handlers, unlike SIG_IGN, are not inherited by the pager.
    """
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGQUIT)}
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    try:
        subprocess.run([*pager, os.fspath(path)], check=False)
    finally:
        for number, action in before.items():
            signal.signal(number, action)
