"""Cached probabilities: predictions/<split>_<tta>/ of a run folder, made once a checkpoint, read by all that scores."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract import names
from engine.contract.config import TrainConfig
from engine.contract.errors import BadInput, Stopped
from engine.contract.files import file_sha256, write_json
from engine.contract.load import load_config
from engine.contract.text import clean
from engine.data.geometry import content_size
from engine.data.inputs import load_inputs
from engine.data.manifest import Sample, fingerprint, read_manifest
from engine.evaluation.counts import Levels, dequantise, quantise
from engine.progress import Progress
from engine.stopping import StopFlag

_FORMAT = "xray-probabilities/1"


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

    @property
    def size(self) -> int:
        return int(self.levels.shape[1])

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
    samples = tuple(sample for sample in run.samples() if sample.split == split)
    if not samples:
        raise BadInput(f"{clean(run.config.data.manifest)}: no image in split {split}")
    return probabilities(run, samples, tta, batch_size, run.folder / names.PREDICTIONS / f"{split}_{tta}")


def probabilities(run: Run, samples: Sequence[Sample], tta: str, batch_size: int, cache: Path | None) -> Probabilities:
    """The run's probabilities on any samples; `cache`: the folder to take them from or keep them in."""
    data = fingerprint(samples)
    index: dict[str, object] = {
        "format": _FORMAT,
        "checkpoint": run.sha256,
        "data": data,
        "tta": tta,
        "ids": [s.id for s in samples],
    }
    if cache is not None and (found := _read(cache, index)) is not None:
        levels, presence = found
    elif cache is None:
        levels = np.empty((len(samples), run.config.data.image_size, run.config.data.image_size), np.uint16)
        presence = _predict(run, samples, tta, batch_size, levels)
    else:
        levels, presence = _make(run, samples, tta, batch_size, cache, index)
    scores = None if presence is None else np.array(presence, np.float64)
    return Probabilities(tuple(samples), levels, scores, run.config.data.keep_aspect, data)


def _read(cache: Path, index: dict[str, object]) -> tuple[Levels, list[float] | None] | None:
    """The cached arrays where the index says that they are of the same checkpoint, data and views."""
    try:
        kept = json.loads((cache / "index.json").read_text("utf-8"))
        levels = np.load(cache / "probabilities.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or any(kept.get(key) != value for key, value in index.items()):
        return None
    return levels, kept.get("presence_cls")


def _make(
    run: Run, samples: Sequence[Sample], tta: str, batch_size: int, cache: Path, index: dict[str, object]
) -> tuple[Levels, list[float] | None]:
    """Predict into a temporary folder and rename it to `cache`: never half of one."""
    cache.parent.mkdir(exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=cache.parent))
    try:
        size = run.config.data.image_size
        levels = np.lib.format.open_memmap(
            making / "probabilities.npy", mode="w+", dtype=np.uint16, shape=(len(samples), size, size)
        )
        presence = _predict(run, samples, tta, batch_size, levels)
        levels.flush()
        write_json(making / "index.json", {**index, "presence_cls": presence})
        if cache.exists():
            shutil.rmtree(cache)
        making.rename(cache)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return np.load(cache / "probabilities.npy", mmap_mode="r", allow_pickle=False), presence


def _predict(run: Run, samples: Sequence[Sample], tta: str, batch_size: int, out: Levels) -> list[float] | None:
    """Fill `out` (N, S, S) with levels; the classification head's probabilities or None."""
    from engine.device import pick_device, place
    from engine.evaluation.predict import predict_views
    from engine.models.checkpoint import load_checkpoint
    from engine.models.network import build_network

    config = run.config
    cache_beside = Path(config.data.manifest) if config.data.cache else None
    what = samples[0].split
    inputs = load_inputs(samples, config.data.image_size, config.data.keep_aspect, cache_beside, what)
    device = pick_device(config.device if config.device != "cuda" else "auto", config.training.precision)
    network = build_network(config.model, pretrained=False)
    network.load_state_dict(load_checkpoint(run.checkpoint)["network"])
    place(network, device).eval()
    presence: list[float] | None = None
    stop = StopFlag()
    try:
        with Progress(f"predict {what} ({tta})", len(samples), "images") as progress:
            for start in range(0, len(samples), batch_size):
                if stop.is_set:
                    raise Stopped("stopped while predicting; nothing was written")
                maps, scores = predict_views(network, inputs.images[start : start + batch_size], device, tta)
                out[start : start + len(maps)] = quantise(maps)
                if scores is not None:
                    presence = (presence or []) + scores.astype(float).tolist()
                progress.advance(len(maps))
    finally:
        stop.restore()
    return presence
