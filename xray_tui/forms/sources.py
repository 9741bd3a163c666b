"""What a form is filled from: recipes, configs of runs, run folders. Reads files: not for the UI thread."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from engine.contract.errors import BadInput
from engine.contract.load import load_config
from engine.contract.names import BEST, CHECKPOINTS, CONFIG
from engine.contract.recipes import TAKES, Recipe, find_recipes, recipe_folders
from engine.contract.text import clean
from engine.contract.yaml_file import read_mapping
from xray_tui.board.walk import walk as walk_runs
from xray_tui.forms.fields import Section, defaults, flatten
from xray_tui.forms.request import MODELS, PATH_KEYS, Kind, path_argument
from xray_tui.forms.schema import walk
from xray_tui.jobs.storage.job_store import JobStore

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Base:
    """A config that a form can start from. `run` is the name that a run made of it would have."""

    label: str
    path: Path | None
    run: str
    description: str = ""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Filling:
    """The values of one base, and the fields that they belong to: networks differ in theirs. `members` are those of a
    blend, as names below the runs folder where they lie there."""

    model: type[BaseModel]
    schema: Section
    values: Mapping[str, Any]
    members: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """All that a form needs to know of the disk. `trained` are the runs that have a best checkpoint, `taken` the
    names that a new run cannot have, with the reason."""

    bases: tuple[Base, ...]
    first: int
    filling: Filling
    trained: tuple[str, ...]
    taken: Mapping[str, str]


def read_sources(kind: Kind, runs: Path, current: str | None, recipes: Sequence[Recipe] | None, cwd: Path) -> Sources:
    """Everything for a form of that kind, filled from the run `current` where that run has a fitting config."""
    trained, taken = read_runs(runs)
    if kind == "blend":  # a classifier has no mask to blend
        trained = tuple(run for run in trained if _config_kind(runs / run / CONFIG) != "classifier")
    bases = [] if kind == "evaluate" else list(_bases(kind, runs, current, recipes))
    first = next((at for at, base in enumerate(bases) if base.run == current and base.path), 0)
    filling = read_filling(kind, bases[first], runs, cwd) if bases else _unfilled(kind)
    return Sources(tuple(bases), first, filling, trained, taken)


def read_filling(kind: Kind, base: Base, runs: Path, cwd: Path) -> Filling:
    """The values of a base, its paths as the command line would give them; the defaults and why, where it is bad."""
    if base.path is None or base.problem:
        return _unfilled(kind, base.problem)
    try:
        config = load_config(base.path)
    except BadInput as error:
        more = f" (and {len(error.lines) - 1} more)" if len(error.lines) > 1 else ""
        return _unfilled(kind, error.lines[0] + more)
    schema = walk(type(config), value=config)
    dump = config.model_dump()
    values = flatten(schema, dump)
    for key in PATH_KEYS & values.keys():
        if values[key] and Path(values[key]).is_absolute():
            values[key] = path_argument(Path(values[key]), cwd)
    members = tuple(_below(runs, member) for member in dump.get("members", ()))
    return Filling(type(config), schema, values, members)


def _unfilled(kind: Kind, problem: str | None = None) -> Filling:
    schema = walk(MODELS[kind])
    return Filling(MODELS[kind], schema, defaults(schema), problem=problem)


def read_runs(runs: Path) -> tuple[Names, dict[str, str]]:
    """(runs with a best checkpoint, in order; the names that a new run cannot have, each with the reason)."""
    trained, taken = [], {}
    for folder in walk_runs(runs):
        if not folder.path:
            continue
        place = runs / folder.path
        if folder.problem is not None or folder.files or _holds_something(place):
            taken[folder.path] = "the folder exists and is not empty"
        if os.path.isfile(place / CHECKPOINTS / BEST):  # noqa: PTH113 - is_file raises where the folder is locked
            trained.append(folder.path)
    return tuple(sorted(trained)), {**claimed(runs), **taken}


def _holds_something(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return True


def claimed(runs: Path) -> dict[str, str]:
    """The folders that trainings wait for, or have not written to yet."""
    try:
        jobs = JobStore(runs).jobs()
    except OSError:
        return {}
    waiting = (job for job in jobs if job.spec.kind == "train" and not job.state.ended)
    return {job.spec.run: f"claimed by job {job.id}, which is {job.state}" for job in waiting}


def _bases(kind: Kind, runs: Path, current: str | None, recipes: Sequence[Recipe] | None) -> Iterator[Base]:
    """The run under the cursor, the defaults for a blend, the recipes of the kind; unreadable ones to train with."""
    if current and _config_kind(runs / current / CONFIG) in TAKES[kind]:
        yield Base(f"run {clean(current)}", runs / current / CONFIG, current, f"as it was trained: its {CONFIG}")
    if kind == "blend":
        yield Base("defaults", None, "blend", "what an empty config gives")
    for recipe in find_recipes(recipe_folders(runs)) if recipes is None else recipes:
        if recipe.kind in TAKES[kind] or (recipe.problem and kind == "train"):
            about = "; ".join(filter(None, (recipe.description, recipe.facts)))
            yield Base(recipe.name, recipe.path, recipe.path.stem, about, recipe.problem)


def _config_kind(path: Path) -> object:
    """What a run's config is of; None where there is none that can be read."""
    try:
        return read_mapping(path).get("kind", "train")
    except BadInput:
        return None


def _below(runs: Path, member: str) -> str:
    """A blend member's folder as a name below the runs folder, or as it is where it lies elsewhere."""
    path, root = Path(os.path.normpath(member)), Path(os.path.normpath(runs.absolute()))
    return str(path.relative_to(root)) if path.is_relative_to(root) and path != root else str(path)


def members_for(trained: Names, wanted: Names) -> tuple[Names, Names, Names]:
    """(those wanted that can be members, all that can be, the wanted first; those wanted that have no checkpoint).

    A path outside the runs folder is left for the engine to judge.
    """
    known = frozenset(trained)
    chosen = tuple(dict.fromkeys(name for name in wanted if name in known or Path(name).is_absolute()))
    rest = tuple(name for name in trained if name not in chosen)
    return chosen, (*chosen, *rest), tuple(name for name in wanted if name not in chosen)
