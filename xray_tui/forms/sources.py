"""Reads recipes, run configs and run folders for a form. File access may block: do not call it on the UI thread."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.load import load_config
from engine.contract.names import BEST, CHECKPOINTS, CONFIG
from engine.contract.recipes import TAKES, find_recipes, recipe_folders
from engine.contract.text import clean
from engine.contract.yaml_file import read_mapping
from xray_tui.board.walk import walk as walk_runs
from xray_tui.forms.context import FormContext, Kind
from xray_tui.forms.fields import defaults, flatten
from xray_tui.forms.request import MODELS, PATH_KEYS, Filling, path_argument
from xray_tui.forms.schema import walk
from xray_tui.jobs.storage.job_store import JobStore

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Base:
    """A config that a form can start from. `run` is the proposed name of a new run."""

    label: str
    path: Path | None
    run: str
    description: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """All data that a form needs from the disk.

    `trained` are the runs with a best checkpoint. `taken` maps names unavailable for a new run to the reason.
    """

    bases: tuple[Base, ...]
    first: int
    filling: Filling
    trained: tuple[str, ...]
    taken: Mapping[str, str]


def read_sources(context: FormContext) -> Sources:
    """The sources of a form; a training starts from the run under the cursor if it has a config for a training."""
    runs = context.runs
    trained, taken = read_runs(runs)
    if context.kind == "blend":  # a classifier has no mask to blend
        trained = tuple(run for run in trained if _config_kind(runs / run / CONFIG) != "classifier")
    bases = () if context.kind == "evaluate" else tuple(_bases(context))
    filling = read_filling(context, bases[0]) if bases else _unfilled(context.kind)
    return Sources(bases, 0, filling, trained, taken)


def read_filling(context: FormContext, base: Base) -> Filling:
    """The values of a base, with paths relative to the working folder. If the base cannot be read: the defaults, with
    the problem."""
    if base.path is None or base.problem:
        return _unfilled(context.kind, base.problem)
    try:
        config = load_config(base.path)
    except BadInput as error:
        more = f" (and {len(error.lines) - 1} more)" if len(error.lines) > 1 else ""
        return _unfilled(context.kind, error.lines[0] + more)
    schema = walk(type(config), value=config)
    dump = config.model_dump()
    values = flatten(schema, dump)
    for key in PATH_KEYS & values.keys():
        if values[key] and Path(values[key]).is_absolute():
            values[key] = path_argument(Path(values[key]), context.cwd)
    members = tuple(_below(context.runs, member) for member in dump.get("members", ()))
    return Filling(type(config), schema, values, members)


def _unfilled(kind: Kind, problem: str | None = None) -> Filling:
    schema = walk(MODELS[kind])
    return Filling(MODELS[kind], schema, defaults(schema), problem=problem)


def read_runs(runs: Path) -> tuple[Names, dict[str, str]]:
    """Return the sorted runs with a best checkpoint, and a mapping of names unavailable for a new run to reasons."""
    trained, taken = [], {}
    for folder in walk_runs(runs):
        if not folder.path:
            continue
        path = runs / folder.path
        if folder.problem is not None or folder.files or _has_content(path):
            taken[folder.path] = "the folder exists and is not empty"
        if os.path.isfile(path / CHECKPOINTS / BEST):  # noqa: PTH113 - is_file raises if the folder is not readable
            trained.append(folder.path)
    return tuple(sorted(trained)), {**claimed(runs), **taken}


def _has_content(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return True


def claimed(runs: Path) -> dict[str, str]:
    """Maps the runs of queued and running trainings, whose folders may not exist yet, to the reason to refuse them."""
    try:
        jobs = JobStore(runs).jobs()
    except OSError:
        return {}
    trainings = (job for job in jobs if job.spec.kind == "train" and not job.state.ended)
    return {job.spec.run: f"claimed by job {job.id}, which is {job.state}" for job in trainings}


def _bases(context: FormContext) -> Iterator[Base]:
    """The defaults of a blend, the run under the cursor, and the recipes; a train form also lists invalid recipes."""
    kind, runs, current, recipes = context.kind, context.runs, context.current, context.recipes
    if kind == "blend":
        yield Base("defaults", None, "blend", "an empty config")
    if current and _config_kind(runs / current / CONFIG) in TAKES[kind]:
        yield Base(f"run {clean(current)}", runs / current / CONFIG, current, f"the {CONFIG} of this run")
    for recipe in find_recipes(recipe_folders(runs)) if recipes is None else recipes:
        if recipe.kind in TAKES[kind] or (recipe.problem and kind == "train"):
            description = "; ".join(filter(None, (recipe.description, recipe.facts)))
            yield Base(recipe.name, recipe.path, recipe.path.stem, description, recipe.problem)


def _config_kind(path: Path) -> object:
    """The kind in a run's config; None if the config cannot be read."""
    try:
        return read_mapping(path).get("kind", "train")
    except BadInput:
        return None


def _below(runs: Path, member: str) -> str:
    """A blend member's folder as a name below the runs folder, or as a path if it is elsewhere."""
    path, root = Path(os.path.normpath(member)), Path(os.path.normpath(runs.absolute()))
    return str(path.relative_to(root)) if path.is_relative_to(root) and path != root else str(path)


def members_for(trained: Names, wanted: Names) -> tuple[Names, Names, Names]:
    """Return the wanted runs that can be members, all possible members (these first), and the other wanted runs.

    The latter have no checkpoint in this runs folder.
    """
    available = frozenset(trained)
    chosen = tuple(dict.fromkeys(name for name in wanted if name in available))
    rest = tuple(name for name in trained if name not in chosen)
    return chosen, (*chosen, *rest), tuple(name for name in wanted if name not in chosen)
