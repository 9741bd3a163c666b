"""Whether a job of kind command can be started: its program is looked up as the supervisor will, without a shell."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.text import clean

_SHELL = re.compile(r"[\s&|;<>$`*?(){}~'\"\\]")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


def check_program(argv: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> None:
    """Raises BadInput in one line where no program of that name can be run: by its path, relative to the job's working
    folder, where the name has a slash; else from the PATH of the job's environment."""
    name = argv[0]
    folders = [""] if "/" in name else os.get_exec_path(dict(environ))
    found = [os.path.join(cwd, folder, name) for folder in folders]  # noqa: PTH118 - a name may be no path
    if any(os.path.isfile(path) and os.access(path, os.X_OK) for path in found):  # noqa: PTH113
        return
    raise BadInput(clean(f"command: {_problem(argv, found)}"))


def _problem(argv: Sequence[str], found: Sequence[str]) -> str:
    name = argv[0]
    if any(map(os.path.isfile, found)):
        return f"{name}: not executable; chmod +x it, or name its interpreter, as in: bash {shlex.quote(name)}"
    if name and any(map(os.path.isdir, found)):
        return f"{name}: a folder; expected a program"
    if _ASSIGNMENT.match(name):
        return f"{name}: a variable, not a program; set it with env, as in: env {shlex.join(argv)}"
    if _SHELL.search(name):
        line = " ".join((name, *map(shlex.quote, argv[1:])))
        return (
            f"{name}: no such program; a command runs without a shell, so give its words one by one, or a shell: "
            f"bash -c {shlex.quote(line)}"
        )
    if "/" in name:
        return f"{name}: no such file; expected a program, relative to the working folder"
    return f"{name}: no such program on the PATH; aliases, functions and builtins of a shell are not programs"
