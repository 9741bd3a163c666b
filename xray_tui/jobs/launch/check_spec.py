"""Checks of a job's spec before a launch: names, numbers, and the program of a command."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from engine.contract.errors import BadInput
from engine.contract.text import clean
from xray_tui.jobs.model.job import KINDS, JobSpec

_SHELL = re.compile(r"[\s&|;<>$`*?(){}~'\"\\]")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


def check_spec(spec: JobSpec) -> None:
    """Raises BadInput with a one-line message if the spec itself is invalid."""
    if spec.kind not in KINDS:
        raise BadInput(f"{clean(spec.kind)}: unknown kind of job; give {', '.join(KINDS)}")
    if (problem := run_problem(spec.run)) is not None:
        raise BadInput(": ".join(filter(None, ("run", clean(spec.run)[:120], problem))))
    if not 0 <= spec.priority <= 99:
        raise BadInput(f"priority: {spec.priority}: give 0 (served first) to 99")
    if spec.gpu_count < 1:
        raise BadInput(f"gpus: {spec.gpu_count}: give 1 or more; a job without a GPU has gpu none")
    if spec.gpu_count > 1 and spec.gpu != "auto":
        raise BadInput(f"gpus: {spec.gpu_count} goes with gpu auto; name several GPUs as in 0,1 instead")
    if (spec.gpu_count > 1 or "," in spec.gpu) and spec.kind in ("evaluate", "blend"):
        raise BadInput(f"gpus: {spec.kind} uses one GPU; only a training or a command takes several")
    if spec.kind == "command" and not spec.argv:
        raise BadInput("command: no program; give it after --")
    for argument in spec.argv:
        if "\0" in argument or argument != argument.encode(errors="replace").decode():
            raise BadInput(f"{clean(argument)[:80]}: an argument must be UTF-8 text without NUL")


def run_problem(run: str) -> str | None:
    """Why a run name is not a plain relative path; None if it is."""
    parts = PurePosixPath(run).parts
    if not parts:
        return "empty; give a name such as unet_a"
    if run != clean(run):
        return "contains a control character; give letters, digits, - and _"
    if run.startswith("/") or ".." in parts:
        return "leads out of the runs folder; give a name below it, such as unet_a"
    if any(part.startswith(".") for part in parts):
        return "a part begins with a dot, and hidden folders are ignored; give another name"
    if any(len(part.encode()) > 255 for part in parts):
        return "longer than 255 bytes; give a shorter name"
    return None


def program_problem(argv: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """Why the program cannot be started without a shell, as one printable line; None if it can. A name with a slash is
    a path relative to the working folder; another name is looked up on the PATH of the environment."""
    name, path = argv[0], environ.get("PATH", os.defpath)
    if shutil.which(name, path=path):
        return None
    if shutil.which(name, os.F_OK, path):
        problem = f"not executable; chmod +x it, or name its interpreter, as in: bash {shlex.quote(name)}"
    elif "/" in name and Path(name).is_dir():
        problem = "a folder; expected a program"
    elif _ASSIGNMENT.match(name):
        problem = f"a variable, not a program; set it with env, as in: env {shlex.join(argv)}"
    elif _SHELL.search(name):
        line = shlex.quote(" ".join((name, *map(shlex.quote, argv[1:]))))
        problem = f"no such program; a command runs without a shell; give its words one by one, or: bash -c {line}"
    elif "/" in name:
        problem = "no such file; expected a program, relative to the working folder"
    else:
        problem = "no such program on the PATH; aliases, functions and builtins of a shell are not programs"
    return clean(f"{name}: {problem}")
