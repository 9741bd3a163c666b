"""A trained run for evaluation: its config, its checkpoint, and its network's predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.contract import names
from engine.contract.config import BlendConfig, ClassifierConfig, LearnConfig
from engine.contract.errors import BadInput
from engine.contract.files import file_sha256
from engine.contract.load import load_config
from engine.contract.nnunet import NnunetConfig
from engine.contract.text import clean
from engine.data.inputs import load_inputs
from engine.data.manifest import Sample, fingerprint
from engine.data.moved import check_manifest, check_same_data, point_to
from engine.data.splits import read_samples
from engine.evaluation.config_check import check_config
from engine.evaluation.prediction_cache import data_of
from engine.process.progress import Progress

if TYPE_CHECKING:
    from engine.process.device import Device

BatchPredictions = tuple[int, npt.NDArray[np.float32] | None, npt.NDArray[np.float32] | None]
"""(index of the batch's first image, probability maps (B, S, S) or None, presence (B,) or None)."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder and the checkpoint that is evaluated."""

    folder: Path
    config: LearnConfig
    checkpoint: Path
    sha256: str
    training: Mapping[str, object] | None = None
    """Where the checkpoint comes from: `engine.process.provenance`; None if an earlier version wrote it."""

    @property
    def is_classifier(self) -> bool:
        """Whether it predicts no masks."""
        return isinstance(self.config, ClassifierConfig)

    @property
    def manifest(self) -> Path:
        return Path(self.config.data.manifest)

    def samples(self, split: str) -> list[Sample]:
        """The samples of a split of its manifest, with its fold. Raises BadInput for an empty split."""
        samples = [sample for sample in read_samples(self.config.data, self.folder) if sample.split == split]
        if not samples:
            raise BadInput(f"{clean(str(self.manifest))}: no image in split {split}")
        return samples


def open_run(folder: Path, which: str = "best", moved_to: Path | None = None) -> Run:
    """A run folder with its config and checkpoint. `moved_to`: the manifest's new path, which is written into the
    config if its data are those of the training. Raises BadInput if config, checkpoint or manifest is missing, the
    config was edited since the training (see `check_config`), or the data differ."""
    config = load_config(folder / names.CONFIG)
    if isinstance(config, BlendConfig):
        raise BadInput(f"{clean(str(folder))}: a blend, which was scored when it was made; evaluate its members")
    if isinstance(config, NnunetConfig):
        raise BadInput(f"{clean(str(folder))}: kind: nnunet; run `xray-engine nnunet score`")
    checkpoint = folder / names.CHECKPOINTS / f"{which}.pt"
    if not checkpoint.is_file():
        raise BadInput(f"{clean(str(checkpoint))}: no such checkpoint; train the run first")
    if moved_to is None:
        check_manifest(folder, config.data.manifest)
    from engine.models.checkpoint import load_checkpoint

    saved = load_checkpoint(checkpoint, "network")
    check_config(config, checkpoint, saved)
    trained = saved.get("training")
    origin = trained if isinstance(trained, dict) else None
    if moved_to is None:
        run = Run(folder, config, checkpoint, file_sha256(checkpoint), origin)
        _check_data(run, saved)
        return run
    data = config.data.model_copy(update={"manifest": str(moved_to.resolve())})
    run = Run(folder, config.model_copy(update={"data": data}), checkpoint, file_sha256(checkpoint), origin)
    fingerprints = {split: fingerprint(run.samples(split)) for split in ("val", "test")}
    check_same_data(folder, moved_to, _trained_with(run), fingerprints)
    point_to(folder, moved_to)
    return run


def _check_data(run: Run, saved: Mapping[str, object]) -> None:
    """Raises BadInput if `data.manifest` was edited to other data: if validation or test have other fingerprints than
    those in the checkpoint. Checkpoints of earlier versions have none, and pass."""
    before = saved.get("fingerprints")
    trained = saved.get("config")
    path = trained.get("data", {}).get("manifest") if isinstance(trained, dict) else None
    if not isinstance(before, dict) or path == run.config.data.manifest:
        return
    for split in ("val", "test"):
        if split in before and before[split] != fingerprint(run.samples(split)):
            raise BadInput(
                f"{clean(str(run.folder / names.CONFIG))}: data.manifest is {clean(run.config.data.manifest)}, but "
                f"{run.checkpoint.name} was trained with {clean(str(path))}, whose {split} images differ; restore it"
            )


def resolve_tta(tta: str, runs: Sequence[Run]) -> str:
    """The TTA, or for `auto` the flips that the training of every run included."""
    if tta != "auto":
        return tta
    return names.trained_tta([(run.config.augment.hflip, run.config.augment.vflip) for run in runs])


def _trained_with(run: Run) -> dict[str, str]:
    """Split -> fingerprint of the run's data, from its checkpoint, or from its cached predictions if an older version
    wrote the checkpoint."""
    from engine.models.checkpoint import load_checkpoint

    saved = load_checkpoint(run.checkpoint, "network").get("fingerprints")
    if isinstance(saved, dict):
        return {str(split): str(value) for split, value in saved.items()}
    folders = (run.folder / names.PREDICTIONS).glob("*")
    return {folder.name.partition("_")[0]: data for folder in folders if (data := data_of(folder, run.sha256))}


def device_of(run: Run) -> Device:
    """The device for predictions, always in float32, regardless of the training's precision: bfloat16 has only 8
    significant bits, so scores would round to ties, and AUC and AP would differ between machines."""
    from engine.process.device import pick_device

    config = run.config
    return pick_device("auto" if config.device == "cuda" else config.device, "fp32", config.training.channels_last)


def predict_samples(
    run: Run, samples: Sequence[Sample], manifest: Path, tta: str, batch_size: int, device: Device
) -> Iterator[BatchPredictions]:
    """The network's predictions for samples of a manifest, a batch at a time, in their order."""
    from engine.evaluation.predict import mean_over_views, to_tensor
    from engine.models.checkpoint import evaluated_weights, load_checkpoint, load_network
    from engine.models.network import build_network
    from engine.process.device import to_device

    data = run.config.data
    what = samples[0].split
    inputs = load_inputs(samples, data.image_size, data.keep_aspect, manifest if data.cache else None, what)
    network = build_network(run.config.model, pretrained=False)
    load_network(network, evaluated_weights(load_checkpoint(run.checkpoint, "network")), run.checkpoint)
    to_device(network, device).eval()
    with Progress(f"predict {what} ({tta})", len(samples), "images") as progress:
        for start in range(0, len(samples), batch_size):
            images = inputs.images[start : start + batch_size]
            maps, presence = mean_over_views(network, to_tensor(images, device), device, tta)
            yield (
                start,
                None if maps is None else maps[:, 0].cpu().numpy(),
                None if presence is None else presence.cpu().numpy(),
            )
            progress.advance(len(images))
