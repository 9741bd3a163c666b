"""Show a file in the user's pager, which uses the terminal until it exits."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path


def find_pager(*variables: str) -> list[str] | None:
    """The first installed command out of those in the variables (default: $PAGER), less and more; None if there is
    none."""
    commands = []
    for name in variables or ("PAGER",):
        with suppress(ValueError):  # an unclosed quotation mark
            commands.append(shlex.split(os.environ.get(name, "")))
    return next((words for words in (*commands, ["less"], ["more"]) if words and shutil.which(words[0])), None)


def page(pager: list[str], path: Path) -> OSError | None:
    """Run the pager on the file until it exits; return the error if it cannot be started. Call it on the main thread,
    in `App.suspend`, which does not restore the terminal after an exception.

    Ctrl+C and Ctrl+\\ signal both the pager and this process, which ignores them by an empty handler, because the pager
    would inherit SIG_IGN. Ctrl+Z stops both.
    """
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGQUIT)}
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    try:
        subprocess.run([*pager, os.fspath(path)], check=False)
    except OSError as error:
        return error
    finally:
        for number, action in before.items():
            signal.signal(number, action)
    return None
