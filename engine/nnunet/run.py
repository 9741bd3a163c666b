"""The run folder of an nnU-Net training: a new one, one that goes on, and a trained one as its readers see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.files import file_sha256, unfinished
from engine.contract.nnunet import NnunetConfig, load_nnunet_config
from engine.contract.text import clean
from engine.data.manifest import Sample, read_manifest
from engine.nnunet.export import Export, read_export
from engine.nnunet.layout import Layout


def prepare_run(
    config: Path | None, overrides: Sequence[str], run: Path | None, resume: bool
) -> tuple[NnunetConfig, Path]:
    """The resolved config and its run folder. Nothing is written yet.

    A folder that is not empty is refused without `resume`; with it, its own config counts, and a given one must not
    differ from it. Raises BadInput.
    """
    given = load_nnunet_config(config, overrides) if config is not None else None
    if run is None:
        if config is None or given is None:
            raise BadInput("give --config FILE, or --resume with --run FOLDER")
        run = Path(names.RUNS) / (given.name or config.stem)
    path = run / names.CONFIG
    if resume and path.exists():
        kept = load_nnunet_config(path)
        if given is None and overrides:
            raise BadInput(f"{clean(str(path))}: --resume continues this config; leave --set out")
        if given is not None and given != kept:
            raise BadInput(f"{clean(str(path))}: --resume continues this config, and what was given differs from it")
        return kept, run
    if given is None:
        raise BadInput(f"{clean(str(run))}: no {names.CONFIG} to resume from; give --config FILE")
    if run.exists() and (not run.is_dir() or set(run.iterdir()) - set(unfinished(path))):
        raise BadInput(f"{clean(str(run))}: not an empty folder; give another --run, or --resume to continue it")
    return given, run


@dataclass(frozen=True)
class TrainedRun:
    """A trained run and the checkpoint of it that is used."""

    folder: Path
    config: NnunetConfig
    export: Export
    checkpoint: Path

    @property
    def layout(self) -> Layout:
        return Layout(self.folder, self.config)

    @cached_property
    def sha256(self) -> str:
        """Of the checkpoint."""
        return file_sha256(self.checkpoint)

    def samples(self, split: str) -> list[Sample]:
        """The samples of a split of its manifest. Raises BadInput where there are none, or one was not exported."""
        manifest = Path(self.config.data.manifest)
        samples = [sample for sample in read_manifest(manifest) if sample.split == split]
        if not samples:
            raise BadInput(f"{clean(str(manifest))}: no image in split {split}")
        for sample in samples:
            if sample.id not in self.export.cases:
                raise BadInput(f"{clean(str(manifest))}: {clean(sample.id)} came after the export; train a new run")
        return samples

    def check_unchanged(self, split: str, fingerprint: str) -> None:
        """Raises BadInput where the split's data are others than were exported: nnU-Net would predict the old ones."""
        if self.export.fingerprints.get(split) != fingerprint:
            raise BadInput(
                f"{clean(self.config.data.manifest)}: split {split} has changed since the export; train a new run"
            )


def open_trained(folder: Path, which: str) -> TrainedRun:
    """A run folder with its export and its checkpoint, final or best. Raises BadInput where one of them is missing."""
    config = load_nnunet_config(folder / names.CONFIG)
    layout = Layout(folder, config)
    checkpoint = layout.checkpoint(which)
    if not checkpoint.is_file():
        raise BadInput(f"{clean(str(checkpoint))}: no such checkpoint; train the run to its end first")
    return TrainedRun(folder, config, read_export(layout.dataset), checkpoint)
