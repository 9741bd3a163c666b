"""Checks whether the program of a command job or of on_end can be started without a shell."""

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
    """Raises BadInput in one line if the job's program cannot be run."""
    if (problem := program_problem(argv, cwd, environ)) is not None:
        raise BadInput(f"command: {problem}")


def program_problem(argv: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> str | None:
    """Why the program cannot be run, in one printable line; None if it can. A name with a slash is a path relative to
    `cwd`; another name is looked up on the PATH of the environment."""
    name = argv[0]
    folders = [""] if "/" in name else os.get_exec_path(dict(environ))
    paths = [os.path.join(cwd, folder, name) for folder in folders]  # noqa: PTH118 - a name may not be a path
    if any(os.path.isfile(path) and os.access(path, os.X_OK) for path in paths):  # noqa: PTH113
        return None
    return clean(_problem(argv, paths))


def _problem(argv: Sequence[str], paths: Sequence[str]) -> str:
    name = argv[0]
    if any(map(os.path.isfile, paths)):
        return f"{name}: not executable; chmod +x it, or name its interpreter, as in: bash {shlex.quote(name)}"
    if name and any(map(os.path.isdir, paths)):
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
