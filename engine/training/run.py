"""From a config to a run folder for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from engine.contract import names
from engine.contract.config import ClassifierConfig, LearnConfig, TrainConfig
from engine.contract.errors import BadInput
from engine.contract.files import unfinished
from engine.contract.load import load_config
from engine.contract.nnunet import NnunetConfig
from engine.contract.text import clean
from engine.data.moved import check_manifest
from engine.evaluation.config_check import flat
from engine.process.folders import locked_folder

Kind = TypeVar("Kind", bound=TrainConfig | ClassifierConfig | NnunetConfig)


def prepare_run(
    read: Callable[[Path, Sequence[str]], Kind],
    config: Path | None,
    overrides: Sequence[str],
    run: Path | None,
    resume: bool,
) -> tuple[Kind, Path]:
    """The resolved config, read by `read`, and its run folder. Nothing is written yet. A folder that is not empty is an
    error without `resume`. With it, the run's own config is used, and a given config must not differ from it. Raises
    BadInput."""
    requested = read(config, overrides) if config is not None else None
    if run is None:
        if config is None or requested is None:
            raise BadInput("give --config FILE, or --resume with --run FOLDER")
        run = Path(names.RUNS) / (requested.name or config.stem)
    path = run / names.CONFIG
    if resume and (run / names.AVERAGE).exists():
        raise BadInput(f"{clean(str(run))}: is the mean of another run's checkpoints and cannot be resumed")
    if resume and path.exists():
        saved = read(path, () if requested else overrides)
        if requested is not None and requested != saved:
            old, new = flat(saved.model_dump(mode="json")), flat(requested.model_dump(mode="json"))
            key = next(key for key in [*new, *old] if old.get(key) != new.get(key))
            difference = clean(f"{key} is {old.get(key)} there, got {new.get(key)}")
            raise BadInput(f"{clean(str(path))}: --resume continues this config; {difference}")
        if requested is None and overrides and saved != read(path, ()):
            raise BadInput(f"{clean(str(path))}: --resume continues this config; leave --set out")
        check_manifest(run, saved.data.manifest)
        return saved, run
    if requested is None:
        raise BadInput(f"{clean(str(run))}: no {names.CONFIG} to resume from; give --config FILE")
    check_is_free(run, "another --run, or --resume")
    return requested, run


def check_is_free(run: Path, remedy: str = "another one") -> None:
    """Raises BadInput where the folder contains more than the leftovers of a killed start."""
    early = [run / name for name in (names.SPLIT, names.WINDOW, names.OVERLAP, names.DATA)]  # before the config
    leftovers = {*early, *(half for file in (*early, run / names.CONFIG) for half in unfinished(file))}
    if run.exists() and (not run.is_dir() or set(run.iterdir()) - leftovers):
        raise BadInput(f"{clean(str(run))}: not an empty folder; give {remedy}")


@contextlib.contextmanager
def locked_run(run: Path) -> Iterator[None]:
    """Make the run folder and lock it against a second training. An empty folder is removed afterwards. Raises BadInput
    where another training holds the lock."""
    with locked_folder(run, "another training is running in it"):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                run.rmdir()


def learn_config(path: Path, overrides: Sequence[str]) -> LearnConfig:
    """A config for the training loop. Raises BadInput."""
    config = load_config(path, overrides)
    if not isinstance(config, TrainConfig | ClassifierConfig):
        raise BadInput(f"{clean(str(path))}: kind: {config.kind}; train needs kind: train, classifier or nnunet")
    return config
