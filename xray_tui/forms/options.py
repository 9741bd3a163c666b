"""The launch's own fields of a form: seeds, sweep, GPU count, dependencies, priority. Pure functions and values.

`request` handles the fields of the config. Both modules are imported only when a form opens.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import product

from pydantic import ValidationError

from engine.contract.errors import BadInput
from engine.contract.load import field_errors
from engine.contract.text import clean
from xray_tui.forms.context import FormContext, Kind
from xray_tui.forms.request import Draft, model_problems, path_argument, run_name_problem, to_model
from xray_tui.jobs.launch.check_spec import check_spec
from xray_tui.jobs.launch.gpu_request import check_count
from xray_tui.jobs.launch.sweep import parse_seeds, parse_sweep, trainings
from xray_tui.jobs.model.job import PRIORITY, JobSpec

Problems = dict[str, str]


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """The launch's own fields as typed. The names are the keys of the form fields."""

    seeds: str = ""
    sweep: str = ""
    """Such as `training.lr=1e-3,3e-4; data.image_size=256,384`."""
    evaluate: bool = False
    gpus: str = "1"
    after: str = ""
    """A job id, or empty."""
    priority: str = str(PRIORITY)
    hold: bool = False
    allow_overlap: bool = False

    @property
    def changed(self) -> frozenset[str]:
        """The keys whose values differ from their defaults."""
        return frozenset(f.name for f in fields(self) if getattr(self, f.name) != f.default)

    @property
    def sweeps(self) -> tuple[str, ...]:
        """The sweep as values of `launch --sweep`, one for each field."""
        return tuple(part.strip() for part in self.sweep.split(";") if part.strip())

    @property
    def several(self) -> bool:
        """Whether seeds or a sweep are given, whose trainings get their own run names."""
        return bool(self.seeds.strip() or self.sweeps)


OPTIONS: Mapping[Kind, tuple[str, ...]] = {
    "train": ("seeds", "sweep", "evaluate", "gpus", "after", "priority", "hold"),
    "evaluate": ("after", "priority", "hold", "allow_overlap"),
    "blend": ("after", "priority", "hold", "allow_overlap"),
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
    """A launch and its shell command. `problems` maps field keys to messages and must be empty to launch."""

    launch: Launch
    command: str
    problems: Mapping[str, str]
    changed: frozenset[str]

    @property
    def first_problem(self) -> str:
        """The first problem and the number of the others, on one line."""
        key, problem = next(iter(self.problems.items()))
        return f"{key}: {problem}" + (f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else "")


def plan_jobs(
    spec: JobSpec, options: LaunchOptions, draft: Draft, taken: Mapping[str, str], gpus: int
) -> tuple[tuple[JobSpec, ...], Problems]:
    """Return the trainings of the seeds and the sweep, or just `spec`, and the problems of the options.

    `taken` maps unavailable run names to the reason; `gpus` is the number of available GPUs, 0 if unknown.
    """
    problems: Problems = {}
    seeds: tuple[int, ...] = ()
    sweep: dict[str, tuple[str, ...]] = {}
    specs = [spec]
    with _collect(problems, "seeds"):
        seeds = parse_seeds(options.seeds) if options.seeds.strip() else ()
    with _collect(problems, "sweep"):
        sweep = parse_sweep(options.sweeps)
        if sweep and not model_problems(draft):
            _check_sweep(sweep, draft)
    with _collect(problems, "seeds" if seeds else "sweep"):
        specs = trainings(spec, seeds, sweep)
    for training in specs if options.several else ():
        if training.run in taken:
            problems["run"] = f"{clean(training.run)}: {taken[training.run]}; give another name"
        elif problem := run_name_problem(training.run, {}):
            problems["run"] = problem
    for key, text, bounds in (("gpus", options.gpus, "1 or more"), ("priority", options.priority, "0 to 99")):
        if parse_int(text) is None:
            problems[key] = f"{clean(text.strip()) or 'empty'}: expected a whole number, {bounds}"
    if not {"gpus", "priority"} & problems.keys():
        with _collect(problems, "run"):
            check_spec(spec)
    if "gpus" not in problems and gpus:
        with _collect(problems, "gpus"):
            check_count(spec.gpu_count, gpus)
    return tuple(specs), problems


def _check_sweep(sweep: Mapping[str, Sequence[str]], draft: Draft) -> None:
    """Validate every combination of a sweep, for a draft that is valid without it. Raises BadInput."""
    known = {field.key for field in draft.base.schema.walk()}
    if unknown := next((key for key in sweep if key not in known), None):
        raise BadInput(f"{clean(unknown)}: unknown field; expected a field of the config such as training.lr")
    for values in product(*sweep.values()):
        try:
            to_model(draft, [f"{key}={value}" for key, value in zip(sweep, values, strict=True)])
        except ValidationError as error:
            lines = [f"{field}: {problem}" for field, problem in field_errors(error, draft.base.model)]
            raise BadInput(lines) from None


def parse_int(text: str) -> int | None:
    """The typed whole number; None if the text is not one."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) < 10 else None


def launch_command(spec: JobSpec, options: LaunchOptions, context: FormContext) -> str:
    """The shell command for the same launch, safe to print. `spec` is the job before seeds and sweep are applied."""
    words = ["xray-tui", "launch", spec.kind, "--runs", path_argument(context.runs, context.cwd)]
    flags = (
        ("--gpu", spec.gpu, spec.gpu != "auto"),
        ("--gpus", options.gpus.strip(), "gpus" in options.changed),
        ("--seeds", options.seeds.strip(), bool(options.seeds.strip())),
        *(("--sweep", sweep, True) for sweep in options.sweeps),
        ("--then-evaluate", None, options.evaluate),
        ("--after", options.after, bool(options.after)),
        ("--priority", options.priority.strip(), "priority" in options.changed),
        ("--hold", None, options.hold),
    )
    for name, value, is_set in flags:
        if is_set:
            words += [name] if value is None else [name, value]
    return clean(shlex.join((*words, "--", *spec.argv[1:])))


@contextmanager
def _collect(problems: Problems, key: str) -> Iterator[None]:
    """Turn a BadInput into a problem of the launch field that its first line names, or of `key` if it names none."""
    try:
        yield
    except BadInput as error:
        name, _, message = error.lines[0].partition(": ")
        is_field = name == "run" or name in OPTIONS["train"]
        problems[name if is_field else key] = message if is_field else error.lines[0]
