"""Whether a program can be started, as a job of kind command or by on_end: looked up as it will be, without a shell."""

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
    """Raises BadInput in one line where the job's program cannot be run."""
    if (problem := program_problem(argv, cwd, environ)) is not None:
        raise BadInput(f"command: {problem}")


def program_problem(argv: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> str | None:
    """Why no program of that name can be run, in one line that is safe to print: found by its path, relative to `cwd`,
    where the name has a slash, else on the PATH of the environment. None where it can be run."""
    name = argv[0]
    folders = [""] if "/" in name else os.get_exec_path(dict(environ))
    found = [os.path.join(cwd, folder, name) for folder in folders]  # noqa: PTH118 - a name may be no path
    if any(os.path.isfile(path) and os.access(path, os.X_OK) for path in found):  # noqa: PTH113
        return None
    return clean(_problem(argv, found))


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
