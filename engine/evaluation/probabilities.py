"""Cached probabilities: predictions/<split>_<tta>/ of a run folder, made once a checkpoint, read by all that scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract import names
from engine.contract.config import TrainConfig
from engine.contract.errors import BadInput
from engine.contract.files import file_sha256, write_json
from engine.contract.load import load_config
from engine.contract.text import clean
from engine.data.geometry import content_size
from engine.data.inputs import load_inputs
from engine.data.manifest import Sample, fingerprint, read_manifest
from engine.evaluation.counts import Levels, dequantise, quantise
from engine.folders import made_whole, new_array, open_array
from engine.progress import Progress

_FORMAT = "xray-probabilities/2"


@dataclass(frozen=True, slots=True)
class Run:
    """A trained run as evaluation sees it."""

    folder: Path
    config: TrainConfig
    checkpoint: Path
    sha256: str

    def samples(self) -> list[Sample]:
        """Its manifest's samples."""
        return read_manifest(Path(self.config.data.manifest))

    def provenance(self) -> dict[str, str]:
        return {"path": str(self.checkpoint.relative_to(self.folder)), "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Probabilities:
    """What a run says of some samples, in their order."""

    samples: tuple[Sample, ...]
    levels: npt.NDArray[np.uint16]
    """(N, S, S): p = level / 65535, at the network's size."""
    presence: npt.NDArray[np.float64] | None
    """(N,): the classification head's probability; None without one."""
    keep_aspect: bool
    fingerprint: str
    """Of the samples' data."""
    device: str
    """What they were computed on, and in which precision."""

    @property
    def size(self) -> int:
        return int(self.levels.shape[1])

    def in_order_of(self, samples: Sequence[Sample]) -> Probabilities:
        """The same, with the images in the order of these samples, whose ids are the same."""
        place = {sample.id: index for index, sample in enumerate(self.samples)}
        order = [place[sample.id] for sample in samples]
        if order == list(range(len(order))):
            return self
        presence = None if self.presence is None else self.presence[order]
        return replace(
            self, samples=tuple(self.samples[i] for i in order), levels=self.levels[order], presence=presence
        )

    def content(self, index: int, height: int, width: int) -> npt.NDArray[np.float32]:
        """The probability map of an image of that native size, padding cut off."""
        rows, columns = content_size(height, width, self.size, self.keep_aspect)
        return dequantise(self.levels[index, :rows, :columns])


def open_run(folder: Path, which: str = "best") -> Run:
    """A run folder with its config and checkpoint. Raises BadInput in one line where one of them is missing."""
    config = load_config(folder / names.CONFIG)
    if not isinstance(config, TrainConfig):
        raise BadInput(f"{clean(str(folder))}: kind: {config.kind}; only a trained run has probabilities of its own")
    checkpoint = folder / names.CHECKPOINTS / f"{which}.pt"
    if not checkpoint.is_file():
        raise BadInput(f"{clean(str(checkpoint))}: no such checkpoint; train the run first")
    return Run(folder, config, checkpoint, file_sha256(checkpoint))


def split_probabilities(run: Run, split: str, tta: str, batch_size: int) -> Probabilities:
    """The run's probabilities on a split of its own manifest, from the cache where checkpoint and data are the same."""
    manifest = Path(run.config.data.manifest)
    samples = [sample for sample in run.samples() if sample.split == split]
    if not samples:
        raise BadInput(f"{clean(str(manifest))}: no image in split {split}")
    return probabilities(run, samples, manifest, tta, batch_size, run.folder / names.PREDICTIONS / f"{split}_{tta}")


def probabilities(
    run: Run, samples: Sequence[Sample], manifest: Path, tta: str, batch_size: int, cache: Path | None
) -> Probabilities:
    """The run's probabilities on samples of a manifest; `cache`: the folder to take them from or keep them in."""
    data = fingerprint(samples)
    size = run.config.data.image_size
    shape = (len(samples), size, size)
    ids = [sample.id for sample in samples]
    index = {"format": _FORMAT, "checkpoint": run.sha256, "data": data, "tta": tta, "ids": ids}
    found = _read(cache, index, shape) if cache is not None else None
    if found is not None:
        levels, presence, device = found
    elif cache is None:
        levels = np.empty(shape, np.uint16)
        presence, device = _predict(run, samples, manifest, tta, batch_size, levels)
    else:
        with made_whole(cache) as making:
            mapped = new_array(making / "probabilities.npy", np.uint16, shape)
            presence, device = _predict(run, samples, manifest, tta, batch_size, mapped)
            write_json(making / "index.json", {**index, "presence_cls": presence, "device": device})
        levels = open_array(cache / "probabilities.npy")
    scores = None if presence is None else np.array(presence, np.float64)
    return Probabilities(tuple(samples), levels, scores, run.config.data.keep_aspect, data, device)


def _read(
    cache: Path, index: Mapping[str, object], shape: tuple[int, ...]
) -> tuple[Levels, list[float] | None, str] | None:
    """The cached arrays where the index says that they are of the same checkpoint, data and views."""
    try:
        kept = json.loads((cache / "index.json").read_text("utf-8"))
        levels = open_array(cache / "probabilities.npy")
        if levels.shape != shape or any(kept[key] != value for key, value in index.items()):
            return None
        return levels, kept["presence_cls"], str(kept["device"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _predict(
    run: Run, samples: Sequence[Sample], manifest: Path, tta: str, batch_size: int, out: Levels
) -> tuple[list[float] | None, str]:
    """Fill `out` (N, S, S) with levels; the classification head's probabilities or None, and the device's name.

    In float32 whatever the training's precision was: bfloat16 has 8 bits, and scores that it makes equal change AUC
    and AP with the machine.
    """
    from engine.device import pick_device, place
    from engine.evaluation.predict import predict_views
    from engine.models.checkpoint import load_checkpoint, load_network
    from engine.models.network import build_network

    config = run.config
    what = samples[0].split
    cache_beside = manifest if config.data.cache else None
    inputs = load_inputs(samples, config.data.image_size, config.data.keep_aspect, cache_beside, what)
    device = pick_device("auto" if config.device == "cuda" else config.device, "fp32", config.training.channels_last)
    network = build_network(config.model, pretrained=False)
    load_network(network, load_checkpoint(run.checkpoint, "network")["network"], run.checkpoint)
    place(network, device).eval()
    presence: list[float] | None = None
    with Progress(f"predict {what} ({tta})", len(samples), "images") as progress:
        for start in range(0, len(samples), batch_size):
            maps, scores = predict_views(network, inputs.images[start : start + batch_size], device, tta)
            assert maps is not None, "only a classifier has none"
            out[start : start + len(maps)] = quantise(maps)
            if scores is not None:
                presence = (presence or []) + scores.astype(float).tolist()
            progress.advance(len(maps))
    return presence, f"{device.name}, float32"
