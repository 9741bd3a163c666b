"""The launch's own fields of a form: seeds, sweep, GPU count, dependencies, priority. Pure functions and values.

`request` has the fields of the config. Both are imported when a form opens.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.contract.errors import BadInput
from engine.contract.load import apply_overrides, field_errors
from engine.contract.text import clean
from xray_tui.forms.fields import Section, nest
from xray_tui.forms.request import Draft, Kind, path_argument, run_name_problem, type_of
from xray_tui.jobs.launch.check_spec import check_spec
from xray_tui.jobs.launch.gpu_request import check_count
from xray_tui.jobs.launch.sweep import parse_seeds, parse_sweep, trainings
from xray_tui.jobs.model.job import PRIORITY, JobSpec

Problems = dict[str, str]


@dataclass(frozen=True, slots=True)
class Wishes:
    """The launch's own fields as typed. The names are the keys of the form fields."""

    seeds: str = ""
    sweep: str = ""
    """`training.lr=1e-3,3e-4; data.image_size=256,384`."""
    evaluate: bool = False
    gpus: str = "1"
    after: str = ""
    """A job id, or empty."""
    priority: str = str(PRIORITY)
    hold: bool = False

    @property
    def changed(self) -> frozenset[str]:
        """The keys whose values differ from their defaults."""
        plain = Wishes()
        return frozenset(f.name for f in fields(self) if getattr(self, f.name) != getattr(plain, f.name))

    @property
    def sweeps(self) -> tuple[str, ...]:
        """The sweep as values of `launch --sweep`, one for each field."""
        return tuple(part.strip() for part in self.sweep.split(";") if part.strip())


WISHES: Mapping[Kind, tuple[str, ...]] = {
    "train": ("seeds", "sweep", "evaluate", "gpus", "after", "priority", "hold"),
    "evaluate": ("after", "priority", "hold"),
    "blend": ("after", "priority", "hold"),
}
"""The launch's own fields in each form. No config has these keys at its top level."""


@dataclass(frozen=True, slots=True)
class Launch:
    """The jobs to submit. `evaluate` adds an evaluation after each training; `hold` holds all jobs until released."""

    specs: tuple[JobSpec, ...]
    evaluate: bool = False
    hold: bool = False

    @property
    def words(self) -> str:
        """A description of the launch; empty for a single job without options."""
        count = len(self.specs)
        words = f"{count} trainings" if count > 1 else "a training" if self.evaluate else "it" if self.hold else ""
        if self.evaluate:
            words += ", each with its evaluation" if count > 1 else " and its evaluation"
        return f"{words}, held until released" if self.hold else words


@dataclass(frozen=True, slots=True)
class Plan:
    """A launch and its shell command. `problems` (key -> message) must be empty to launch."""

    launch: Launch
    command: str
    problems: Mapping[str, str] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()


def read_sweep(wishes: Wishes) -> tuple[tuple[int, ...], Mapping[str, Sequence[str]], Problems]:
    """(seeds, field -> values of the sweep, problems)."""
    problems: Problems = {}
    seeds = _read(problems, "seeds", lambda: parse_seeds(wishes.seeds)) if wishes.seeds.strip() else ()
    sweep = _read(problems, "sweep", lambda: parse_sweep(wishes.sweeps)) or {}
    if seeds and "seed" in sweep:
        problems["sweep"] = "seed: already set by the field seeds"
    return seeds or (), sweep, problems


def specs_of(
    spec: JobSpec, seeds: Sequence[int], sweep: Mapping[str, Sequence[str]], taken: Mapping[str, str]
) -> tuple[tuple[JobSpec, ...], Problems]:
    """(all trainings of the seeds and sweep, or just `spec`; problems with their number and names)."""
    problems: Problems = {}
    specs = _read(problems, "seeds" if seeds else "sweep", lambda: trainings(spec, seeds, sweep)) or [spec]
    for training in specs if seeds or sweep else ():
        if training.run in taken:
            problems["run"] = f"{clean(training.run)}: {taken[training.run]}; give another name"
        elif problem := run_name_problem(training.run, {}):
            problems["run"] = problem
    return tuple(specs), problems


def sweep_problem(sweep: Mapping[str, Sequence[str]], draft: Draft, schema: Section) -> str | None:
    """The first validation error of the sweep, for a draft that is valid without it."""
    known = {field.key for field in schema.walk()}
    if unknown := next((key for key in sweep if key not in known), None):
        return f"{clean(unknown)}: unknown field; expected a field of the config such as training.lr"
    for values in product(*sweep.values()):
        tree = nest(schema, draft.values)
        apply_overrides(tree, [f"{key}={value}" for key, value in zip(sweep, values, strict=True)])
        try:
            type_of(draft).model_validate(tree)
        except ValidationError as error:
            where, problem = field_errors(error, type_of(draft))[0]
            return f"{where}: {problem}"
    return None


def terms_problems(spec: JobSpec, wishes: Wishes, gpus: int) -> Problems:
    """Problems with the GPU count and the priority. `gpus` is the number of available GPUs; 0 if unknown."""
    problems: Problems = {}
    for key, text, bounds in (("gpus", wishes.gpus, "1 or more"), ("priority", wishes.priority, "0 to 99")):
        if whole(text) is None:
            problems[key] = f"{clean(text.strip()) or 'empty'}: expected a whole number, {bounds}"
    if not problems:
        _read(problems, "run", lambda: check_spec(spec))
    if "gpus" not in problems and gpus:
        _read(problems, "gpus", lambda: check_count(spec.gpu_count, gpus))
    return problems


def whole(text: str) -> int | None:
    """The typed whole number; None if the text is not one."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) < 10 else None


def launch_command(spec: JobSpec, wishes: Wishes, runs: Path, cwd: Path) -> str:
    """The shell command for the same launch, safe to print. `spec` is the job before seeds and sweep."""
    words = ["xray-tui", "launch", spec.kind, "--runs", path_argument(runs, cwd)]
    options = (
        ("--gpu", spec.gpu, spec.gpu != "auto"),
        ("--gpus", wishes.gpus.strip(), "gpus" in wishes.changed),
        ("--seeds", wishes.seeds.strip(), bool(wishes.seeds.strip())),
        *(("--sweep", sweep, True) for sweep in wishes.sweeps),
        ("--then-evaluate", None, wishes.evaluate),
        ("--after", wishes.after, bool(wishes.after)),
        ("--priority", wishes.priority.strip(), "priority" in wishes.changed),
        ("--hold", None, wishes.hold),
    )
    for name, value, is_set in options:
        if is_set:
            words += [name] if value is None else [name, value]
    return clean(shlex.join((*words, "--", *spec.argv[1:])))


def _read(problems: Problems, key: str, read: Callable[[], Any]) -> Any:
    """The result of `read`; None if it raises BadInput.

    The problem belongs to the launch field that the error line starts with, else to `key`.
    """
    try:
        return read()
    except BadInput as error:
        name, _, message = error.lines[0].partition(": ")
        is_field = name == "run" or name in WISHES["train"]
        problems[name if is_field else key] = message if is_field else error.lines[0]
        return None
