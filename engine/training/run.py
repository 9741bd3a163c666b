"""From a config to a run folder that is free for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from engine.contract import names
from engine.contract.base import Section
from engine.contract.config import ClassifierConfig, LearnConfig, TrainConfig
from engine.contract.errors import BadInput
from engine.contract.files import unfinished
from engine.contract.load import load_config
from engine.contract.nnunet import NnunetConfig
from engine.contract.text import clean
from engine.data.moved import check_manifest
from engine.process.folders import held

Kind = TypeVar("Kind", bound=TrainConfig | ClassifierConfig | NnunetConfig)


def prepare_run(
    read: Callable[[Path, Sequence[str]], Kind],
    config: Path | None,
    overrides: Sequence[str],
    run: Path | None,
    resume: bool,
) -> tuple[Kind, Path]:
    """The resolved config, as `read` reads it, and its run folder. Nothing is written yet: a training that cannot begin
    leaves nothing.

    A folder that is not empty is refused without `resume`; with it, its own config counts, and a given one must not
    differ from it. Raises BadInput.
    """
    given = read(config, overrides) if config is not None else None
    if run is None:
        if config is None or given is None:
            raise BadInput("give --config FILE, or --resume with --run FOLDER")
        run = Path(names.RUNS) / (given.name or config.stem)
    path = run / names.CONFIG
    if resume and (run / names.AVERAGE).exists():
        raise BadInput(f"{clean(str(run))}: the mean of another run's checkpoints; there is no training to resume")
    if resume and path.exists():
        kept = read(path, () if given else overrides)
        if given is not None and given != kept:
            raise BadInput(f"{clean(str(path))}: --resume continues this config; {_difference(kept, given)}")
        if given is None and overrides and kept != read(path, ()):
            raise BadInput(f"{clean(str(path))}: --resume continues this config; leave --set out")
        check_manifest(run, kept.data.manifest)
        return kept, run
    if given is None:
        raise BadInput(f"{clean(str(run))}: no {names.CONFIG} to resume from; give --config FILE")
    check_is_free(run, "another --run, or --resume to continue it")
    return given, run


def check_is_free(run: Path, remedy: str = "another one") -> None:
    """Raises BadInput where there is more than what a killed start has left."""
    if run.exists() and (not run.is_dir() or set(run.iterdir()) - set(unfinished(run / names.CONFIG))):
        raise BadInput(f"{clean(str(run))}: not an empty folder; give {remedy}")


@contextlib.contextmanager
def trained_by_us(run: Path) -> Iterator[None]:
    """Make the run folder and hold it against a second training. It is taken away again if nothing was written into
    it. BadInput where another training holds it."""
    with held(run, "another training works in it at this moment"):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                run.rmdir()


def learn_config(path: Path, overrides: Sequence[str]) -> LearnConfig:
    """A config that the training loop takes. Raises BadInput."""
    config = load_config(path, overrides)
    if not isinstance(config, TrainConfig | ClassifierConfig):
        raise BadInput(f"{clean(str(path))}: kind: {config.kind}; train needs kind: train, classifier or nnunet")
    return config


def _difference(kept: Section, given: Section) -> str:
    old, new = _flat(kept.model_dump(mode="json")), _flat(given.model_dump(mode="json"))
    key = next(key for key in [*new, *old] if old.get(key) != new.get(key))
    return clean(f"{key} is {old.get(key)} there and {new.get(key)} in what was given")


def _flat(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
