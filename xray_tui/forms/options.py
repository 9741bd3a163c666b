"""What a form launches, as values: one job or several, on how many GPUs, when, and what follows them.

Pure, as launch_command is: that reads the config's fields, this the launch's own. Imported when a form opens.
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
from xray_tui.jobs.launch.launcher import check_count, check_spec
from xray_tui.jobs.launch.sweep import parse_seeds, parse_sweep, trainings
from xray_tui.jobs.model.job import PRIORITY, JobSpec

Problems = dict[str, str]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What stands in the launch's own fields, as it was typed. Their names are the keys of these fields."""

    seeds: str = ""
    sweep: str = ""
    """`training.lr=1e-3,3e-4; data.image_size=256,384`."""
    evaluate: bool = False
    gpus: str = "1"
    after: str = ""
    """A job's id, or none."""
    priority: str = str(PRIORITY)
    hold: bool = False

    @property
    def changed(self) -> frozenset[str]:
        """The keys that are not as they are for a plain launch."""
        plain = Wishes()
        return frozenset(each.name for each in fields(self) if getattr(self, each.name) != getattr(plain, each.name))

    @property
    def sweeps(self) -> tuple[str, ...]:
        """The sweep, one text a field, as `launch --sweep` takes them."""
        return tuple(part.strip() for part in self.sweep.split(";") if part.strip())


WISHES: Mapping[Kind, tuple[str, ...]] = {
    "train": ("seeds", "sweep", "evaluate", "gpus", "after", "priority", "hold"),
    "evaluate": ("after", "priority", "hold"),
    "blend": ("after", "priority", "hold"),
}
"""Which of them each form has. No config has these keys at its top."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a form is left with: the jobs, each training followed by its evaluation (`evaluate`), or all kept waiting
    until they are released (`hold`)."""

    specs: tuple[JobSpec, ...]
    evaluate: bool = False
    hold: bool = False

    @property
    def words(self) -> str:
        """How many jobs, in words; nothing for one that is just launched."""
        count = len(self.specs)
        said = f"{count} trainings" if count > 1 else "a training" if self.evaluate else "it" if self.hold else ""
        if self.evaluate:
            said += ", each with its evaluation" if count > 1 else " and its evaluation"
        return f"{said}, held until released" if self.hold else said


@dataclass(frozen=True, slots=True)
class Plan:
    """What Enter would launch, with the command that does the same; `problems` (key -> what is wrong) must be empty."""

    launch: Launch
    command: str
    problems: Mapping[str, str] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()


def read_sweep(wishes: Wishes) -> tuple[tuple[int, ...], Mapping[str, Sequence[str]], Problems]:
    """(the seeds, the values of each field of the sweep, what is wrong with them)."""
    problems: Problems = {}
    seeds = _read(problems, "seeds", lambda: parse_seeds(wishes.seeds)) if wishes.seeds.strip() else ()
    sweep = _read(problems, "sweep", lambda: parse_sweep(wishes.sweeps)) or {}
    if seeds and "seed" in sweep:
        problems["sweep"] = "seed: has its values in seeds already"
    return seeds or (), sweep, problems


def specs_of(
    spec: JobSpec, seeds: Sequence[int], sweep: Mapping[str, Sequence[str]], taken: Mapping[str, str]
) -> tuple[tuple[JobSpec, ...], Problems]:
    """(the trainings, or the one job; what is wrong with their number and names)."""
    problems: Problems = {}
    found = _read(problems, "seeds" if seeds else "sweep", lambda: trainings(spec, seeds, sweep)) or [spec]
    for each in found if seeds or sweep else ():
        if each.run in taken:
            problems["run"] = f"{clean(each.run)}: {taken[each.run]}; give another name"
        elif problem := run_name_problem(each.run, {}):
            problems["run"] = problem
    return tuple(found), problems


def sweep_problem(sweep: Mapping[str, Sequence[str]], draft: Draft, schema: Section) -> str | None:
    """What the config model has against the sweep of a draft that is right without it."""
    known = {each.key for each in schema.walk()}
    if unknown := next((key for key in sweep if key not in known), None):
        return f"{clean(unknown)}: no field of the config; one such as training.lr is right"
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
    """What is wrong with the number of GPUs and the priority. `gpus` are there; 0: nobody has counted them."""
    problems: Problems = {}
    for key, text, right in (("gpus", wishes.gpus, "1 or more"), ("priority", wishes.priority, "0 to 99")):
        if whole(text) is None:
            problems[key] = f"{clean(text.strip()) or 'empty'}: give a whole number, {right}"
    if not problems:
        _read(problems, "run", lambda: check_spec(spec))
    if "gpus" not in problems and gpus:
        _read(problems, "gpus", lambda: check_count(spec.gpu_count, gpus))
    return problems


def whole(text: str) -> int | None:
    """The number that was typed; None where it is none."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) < 10 else None


def launch_command(spec: JobSpec, wishes: Wishes, runs: Path, cwd: Path) -> str:
    """The command that launches the same from a shell, safe to print. `spec` is what it is all made from."""
    words = ["xray-tui", "launch", spec.kind, "--runs", path_argument(runs, cwd)]
    options = (
        ("--gpu", spec.gpu, spec.gpu != "auto"),
        ("--gpus", wishes.gpus.strip(), "gpus" in wishes.changed),
        ("--seeds", wishes.seeds.strip(), bool(wishes.seeds.strip())),
        *(("--sweep", each, True) for each in wishes.sweeps),
        ("--then-evaluate", None, wishes.evaluate),
        ("--after", wishes.after, bool(wishes.after)),
        ("--priority", wishes.priority.strip(), "priority" in wishes.changed),
        ("--hold", None, wishes.hold),
    )
    for name, value, given in options:
        if given:
            words += [name] if value is None else [name, value]
    return clean(shlex.join((*words, "--", *spec.argv[1:])))


def _read(problems: Problems, key: str, read: Callable[[], Any]) -> Any:
    """What `read` gives; None where it raises BadInput, whose line goes to the field that it begins with, else to that
    of the key."""
    try:
        return read()
    except BadInput as error:
        named, _, rest = error.lines[0].partition(": ")
        ours = named == "run" or named in WISHES["train"]
        problems[named if ours else key] = rest if ours else error.lines[0]
        return None
