"""What a job will take, said from similar ones of the past; where there is none, nothing is said.

Pure. Jobs are similar whose needs follow from the same: network, size of images and patches, batch, data, and their
number of GPUs. A training's time grows with its epochs and their images.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.contract.units import duration, size
from xray_tui.jobs.launch.resolve import Asked

FURTHEST = 4.0
"""From a training that was so many times longer or shorter nothing is said: what every one costs besides its epochs
(reading data, compiling) would be taken for the epochs'."""
RUNS = 20
"""So many of the newest count: what was long ago ran another engine."""

_COSTS_NOTHING = frozenset({"encoder_weights", "partial_weights", "dropout"})
"""What a network may differ in and take the same."""
_OF_A_STEP = ("batch_size", "accumulate", "precision", "channels_last", "compile", "plans", "trainer")
"""What the time and memory of a step follow from, the network aside; the last two are nnU-Net's."""
_OF_A_BLEND = ("tta", "weight_step", "gamma_step", "threshold_step", "bootstrap", "presence_sources")


@dataclass(frozen=True, slots=True)
class Needs:
    """What time and memory follow from."""

    key: str
    """Equal for similar jobs."""
    work: float = 1.0
    """Time grows in proportion."""
    gpus: int = 1


@dataclass(frozen=True, slots=True)
class Past:
    """What a job took that has succeeded; None for what is not known. Bytes and seconds."""

    needs: Needs
    seconds: float | None = None
    memory: int | None = None
    gpu_memory: int | None = None
    written: int | None = None
    """What its run folder holds."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job is likely to take."""

    runs: int
    """From so many similar ones."""
    low: float | None = None
    high: float | None = None
    """Seconds."""
    memory: int | None = None
    gpu_memory: int | None = None
    written: int | None = None
    """The most that one of them took, bytes; of GPU memory on each of its GPUs."""
    gpus: int = 1

    @property
    def sentence(self) -> str:
        """`1h10m to 1h25m, 9.3 GiB GPU, from 3 similar runs`. Main memory is told of what has no GPU."""
        parts = []
        if self.low is not None and self.high is not None:
            low, high = duration(self.low), duration(self.high)
            parts.append(f"about {low}" if low == high else f"{low} to {high}")
        if self.gpu_memory is not None:
            each = f"on each of {self.gpus} GPUs" if self.gpus > 1 else "GPU"
            parts.append(f"{size(self.gpu_memory)} {each}")
        elif self.memory is not None:
            parts.append(f"{size(self.memory)} RAM")
        return ", ".join([*parts, f"from {self.runs} similar run{'s' * (self.runs > 1)}"])


def needs(asked: Asked, gpus: int) -> Needs | None:
    """What the job's time and memory follow from; None where that is not known."""
    if asked.kind == "command":
        return Needs(_key("command", gpus, asked.options), gpus=gpus)
    if not asked.config:
        return None
    if asked.kind == "blend":
        choices = [asked.config.get(name) for name in _OF_A_BLEND]
        fused = asked.config.get("presence_run") is not None
        return Needs(_key("blend", gpus, choices, len(asked.members), fused))
    network = _network(asked.config, asked.manifest)
    if asked.kind == "evaluate":
        return Needs(_key("evaluate", gpus, network, asked.options))
    training, data = _section(asked.config, "training"), _section(asked.config, "data")
    samples, epochs = training.get("samples_per_epoch"), training.get("epochs")
    if not isinstance(epochs, int) or not isinstance(samples, int | None):
        return None
    step = [training.get(name) for name in _OF_A_STEP]
    images = [_section(data, "patch").get("size"), data.get("cache", True)]
    key = _key("train", gpus, network, step, images, samples is None, asked.config.get("device"))
    return Needs(key, float(epochs * (samples or 1)), gpus)


def estimate(wanted: Needs, past: Iterable[Past]) -> Estimate | None:
    """What similar jobs tell, the newest first; None where there is no similar one."""
    similar = [one for one in past if one.needs.key == wanted.key and one.needs.work > 0 and wanted.work > 0][:RUNS]
    times = [
        one.seconds * wanted.work / one.needs.work
        for one in similar
        if one.seconds is not None and 1 / FURTHEST <= wanted.work / one.needs.work <= FURTHEST
    ]
    known = Estimate(
        len(similar),
        min(times, default=None),
        max(times, default=None),
        _most(one.memory for one in similar),
        _most(one.gpu_memory for one in similar),
        _most(one.written for one in similar),
    )
    return None if known == Estimate(len(similar)) else replace(known, gpus=wanted.gpus)


def _network(config: Mapping[str, Any], manifest: Path | None) -> list[Any]:
    """Kind, architecture with all its sizes, and the images. That a second head is there counts, not its width."""
    model = {name: value for name, value in _section(config, "model").items() if name not in _COSTS_NOTHING}
    model["classification_head"] = model.get("classification_head") is not None
    known = sorted((name, value) for name, value in model.items() if value is not None)
    size = _section(config, "data").get("image_size")
    return [config.get("kind", "train"), known, size, None if manifest is None else str(manifest)]


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, dict) else {}


def _key(*parts: Any) -> str:
    return json.dumps(parts, default=str)


def _most(sizes: Iterable[int | None]) -> int | None:
    return max((one for one in sizes if one is not None), default=None)
