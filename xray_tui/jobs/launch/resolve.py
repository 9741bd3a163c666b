"""Resolve a job: its request and its complete config, with all defaults.

Reads files and, for a new config, imports pydantic, so it must not run on the UI thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.recipes import TAKES, check_kind
from engine.contract.text import clean
from engine.contract.yaml_file import read_mapping
from xray_tui.jobs.model.job import JobSpec
from xray_tui.jobs.model.request import BlendRequest, CommandRequest, EvaluateRequest, TrainRequest, request_of

Config = Mapping[str, Any]

SETTLED = 2 * 10**9
"""Age in nanoseconds from which a file is cached, because two quick changes may have the same modification time."""


@dataclass(frozen=True, slots=True)
class ResolvedJob:
    """What a job will read and write. Paths are absolute."""

    kind: str
    folder: Path
    """Run folder."""
    config: Config = field(default_factory=dict)
    """Config of the training, the blend or the evaluated run. Empty for a command, and if the evaluated run
    has no config yet."""
    manifest: Path | None = None
    members: tuple[Path, ...] = ()
    checkpoint: str | None = None
    """Name of the run's checkpoint that the job starts from."""
    options: tuple[str, ...] = ()
    """Other inputs of its estimate: TTA and batch size of an evaluation, the arguments of a command."""

    def section(self, name: str) -> Config:
        """A section of the config; empty if there is none."""
        section = self.config.get(name)
        return section if isinstance(section, dict) else {}


def resolve(runs: Path, spec: JobSpec, cwd: Path, jobs: Mapping[str, JobSpec] = MappingProxyType({})) -> ResolvedJob:
    """Resolve the spec. Raises BadInput with one line per error if its config is invalid.

    An evaluation that waits for the training of its run gets the training's config, if that is in `jobs` (by id).
    """
    folder = runs.absolute() / spec.run
    request = request_of(spec)
    if isinstance(request, CommandRequest):
        return ResolvedJob(spec.kind, folder, options=request.words)
    if isinstance(request, BlendRequest):
        blend = {**resolved_config(spec.kind, request), **({"tta": request.tta} if request.tta else {})}
        members = tuple(cwd / member for member in request.members or blend["members"])
        return ResolvedJob(spec.kind, folder, _with_tta(blend, members, cwd), members=members)
    if isinstance(request, EvaluateRequest):
        parents = (jobs[identity] for identity in spec.after if identity in jobs)
        training = next((parent for parent in parents if (parent.kind, parent.run) == ("train", spec.run)), None)
        if training is not None:
            config = resolve(runs, training, cwd).config
        else:
            config = config_of_run(folder) if (folder / names.CONFIG).exists() else {}
        moved = request.manifest if request.output is None else None  # with --output it is an external test set
        manifest = _manifest(config, folder) if moved is None else cwd / moved
        checkpoint = names.LAST if request.checkpoint == "last" else names.BEST
        options = (_engine_tta(request.tta, [config]), str(request.batch_size))
        return ResolvedJob(spec.kind, folder, config, manifest, checkpoint=checkpoint, options=options)
    resumes = request.resume and (folder / names.CONFIG).exists()
    if not resumes and request.config is None:
        raise BadInput("train: no recipe; give --config FILE")
    config = config_of_run(folder) if resumes else resolved_config(spec.kind, request)
    return ResolvedJob(spec.kind, folder, config, _manifest(config, folder), checkpoint=names.LAST if resumes else None)


def resolve_past(runs: Path, spec: JobSpec, cwd: Path) -> ResolvedJob | None:
    """Resolve an ended job from the config in its run folder; None if that config is missing or of another job."""
    folder = runs.absolute() / spec.run
    try:
        if spec.kind not in TAKES:
            return resolve(runs, spec, cwd)
        config = config_of_run(folder)
    except BadInput:
        return None
    if config.get("kind", "train") not in TAKES[spec.kind]:
        return None
    members = tuple(_absolute(member, folder) for member in config.get("members") or ())
    config = _with_tta(config, members, folder)
    return ResolvedJob(spec.kind, folder, config, _manifest(config, folder), members)


def _with_tta(blend: Config, members: Sequence[Path], base: Path) -> Config:
    """A blend's config with the TTA that the engine will use; presence_run is relative to `base`."""
    configs = []
    for run in (*members, *([base / str(blend["presence_run"])] if blend.get("presence_run") else ())):
        try:
            configs.append(config_of_run(run))
        except BadInput:
            configs.append({})
    return {**blend, "tta": _engine_tta(str(blend.get("tta")), configs)}


def _engine_tta(tta: str, configs: Sequence[Config]) -> str:
    """The TTA that the engine will use for runs with these configs; `auto` where a config is unknown."""
    kinds = [config.get("kind", "train") for config in configs]
    if kinds == ["nnunet"]:
        return "none" if tta == "none" else "mirror"
    if tta != "auto" or not all(configs):
        return tta
    augments = [config.get("augment") for config, kind in zip(configs, kinds, strict=True) if kind != "nnunet"]
    flips = [augment if isinstance(augment, dict) else {} for augment in augments]
    return names.trained_tta([(each.get("hflip", 0.5), each.get("vflip", 0.0)) for each in flips])  # AugmentConfig's


def config_of_run(folder: Path) -> Config:
    """The resolved config in a run folder. Raises BadInput if there is none."""
    return _read(folder / names.CONFIG)


def _read(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, cached until the file changes. Raises BadInput."""
    try:
        status = path.stat()
    except OSError as error:
        raise BadInput(f"{clean(str(path))}: {error.strerror}") from None
    if abs(time.time_ns() - status.st_mtime_ns) < SETTLED:
        return read_mapping(path)
    return deepcopy(_parsed(path.absolute(), status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino))


@lru_cache(maxsize=512)
def _parsed(path: Path, *version: int) -> dict[str, Any]:
    return read_mapping(path)


def resolved_config(kind: str, request: TrainRequest | BlendRequest) -> Config:
    """The engine's config for the request's file and overrides, with absolute paths. Raises BadInput."""
    from engine.contract.config import KINDS
    from engine.contract.load import apply_overrides, load_config, validate

    if request.config is None:
        values: dict[str, Any] = {}
        apply_overrides(values, request.overrides)
        return validate(KINDS[kind], values, f"xray-engine {kind}").model_dump(mode="json")
    config = load_config(Path(request.config), request.overrides, _read)
    check_kind(kind, config.kind, request.config)
    return config.model_dump(mode="json")


def _manifest(config: Config, folder: Path) -> Path | None:
    data = config.get("data")
    path = data.get("manifest") if isinstance(data, dict) else None
    return _absolute(path, folder) if isinstance(path, str) else None


def _absolute(path: object, folder: Path) -> Path:
    """Resolve a path in a run's config, which is relative to the run folder, as the engine does."""
    return Path(os.path.realpath(folder / str(path)))
