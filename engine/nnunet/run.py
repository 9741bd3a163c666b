"""The run folder of an nnU-Net training as those see it who read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.files import file_sha256
from engine.contract.load import load_nnunet_config
from engine.contract.nnunet import NnunetConfig
from engine.contract.text import clean
from engine.data.manifest import Sample, fingerprint
from engine.data.moved import check_manifest, check_same_data, point_to
from engine.nnunet.cases import read_folds
from engine.nnunet.export import Export, read_export
from engine.nnunet.layout import Layout


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
        """The samples of a split, as its fold has it. Raises BadInput where there are none, or one was not exported."""
        data = self.config.data
        samples = [sample for sample in read_folds(data)[data.nnunet_fold] if sample.split == split]
        if not samples:
            raise BadInput(f"{clean(data.manifest)}: no image in split {split}")
        for sample in samples:
            if sample.id not in self.export.cases:
                raise BadInput(f"{clean(data.manifest)}: {clean(sample.id)} came after the export; train a new run")
        return samples

    def check_unchanged(self, split: str, fingerprint: str) -> None:
        """Raises BadInput where the split's data are others than were exported: nnU-Net would predict the old ones."""
        if self.export.fingerprints.get(split) != fingerprint:
            raise BadInput(
                f"{clean(self.config.data.manifest)}: split {split} has changed since the export; train a new run"
            )


def open_trained(folder: Path, which: str, moved_to: Path | None = None) -> TrainedRun:
    """A run folder with its export and its checkpoint, final or best. `moved_to`: the manifest's new place, which is
    written into the config if the data there are those of the export.

    Raises BadInput where config, checkpoint, export or manifest is missing, or the data are others.
    """
    config = load_nnunet_config(folder / names.CONFIG)
    layout = Layout(folder, config)
    checkpoint = layout.checkpoint(which)
    if not checkpoint.is_file():
        raise BadInput(f"{clean(str(checkpoint))}: no such checkpoint; train the run to its end first")
    export = read_export(layout.dataset)
    if moved_to is None:
        check_manifest(folder, config.data.manifest)
        return TrainedRun(folder, config, export, checkpoint)
    data = config.data.model_copy(update={"manifest": str(moved_to.resolve())})
    run = TrainedRun(folder, config.model_copy(update={"data": data}), export, checkpoint)
    found = {split: fingerprint(run.samples(split)) for split in ("val", "test")}
    check_same_data(folder, moved_to, export.fingerprints, found)
    point_to(folder, moved_to)
    return run
