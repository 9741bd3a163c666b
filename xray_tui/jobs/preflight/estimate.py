"""Estimates the time, memory and disk space of a job from similar past jobs.

Pure functions. Similar jobs have the same network, image and patch size, batch, data and number of GPUs. The time of a
training is proportional to its epochs and their images.
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
"""Maximum ratio of work between a past training and the new one for a time estimate: beyond it, the fixed cost of a
training (reading data, compiling) would distort the estimate."""
RUNS = 20
"""Maximum number of similar jobs, the newest first: older jobs ran an older engine."""

_COSTS_NOTHING = frozenset({"encoder_weights", "partial_weights", "dropout"})
"""Fields of a network that affect neither its time nor its memory."""
_OF_A_STEP = ("batch_size", "accumulate", "precision", "channels_last", "compile", "plans", "trainer")
"""Fields that determine the time and memory of a training step, besides the network; the last two are nnU-Net's."""
_OF_A_BLEND = ("tta", "weight_step", "gamma_step", "threshold_step", "bootstrap", "presence_sources")


@dataclass(frozen=True, slots=True)
class Needs:
    """The inputs of a job's time and memory."""

    key: str
    """Equal for similar jobs."""
    work: float = 1.0
    """Amount of work; the time is proportional to it."""
    gpus: int = 1


@dataclass(frozen=True, slots=True)
class Past:
    """What a succeeded job took, in bytes and seconds; None means unknown."""

    needs: Needs
    seconds: float | None = None
    memory: int | None = None
    gpu_memory: int | None = None
    written: int | None = None
    """Size of its run folder."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The expected time, memory and disk space of a job."""

    runs: int
    """Number of similar past jobs."""
    low: float | None = None
    high: float | None = None
    """Range of the time in seconds."""
    memory: int | None = None
    gpu_memory: int | None = None
    written: int | None = None
    """Maximum over the similar jobs in bytes; GPU memory is per GPU."""
    gpus: int = 1

    @property
    def sentence(self) -> str:
        """`1h10m to 1h25m, 9.3 GiB GPU, from 3 similar runs`. It names main memory only for a job without a GPU."""
        parts = []
        if self.low is not None and self.high is not None:
            low, high = duration(self.low), duration(self.high)
            parts.append(f"about {low}" if low == high else f"{low} to {high}")
        if self.gpu_memory is not None:
            where = f"on each of {self.gpus} GPUs" if self.gpus > 1 else "GPU"
            parts.append(f"{size(self.gpu_memory)} {where}")
        elif self.memory is not None:
            parts.append(f"{size(self.memory)} RAM")
        return ", ".join([*parts, f"from {self.runs} similar run{'s' * (self.runs > 1)}"])


def needs(asked: Asked, gpus: int) -> Needs | None:
    """The inputs of the job's time and memory; None if unknown."""
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
    """Estimate from similar jobs in `past`, sorted newest first; None without a similar job."""
    similar = [job for job in past if job.needs.key == wanted.key and job.needs.work > 0 and wanted.work > 0][:RUNS]
    times = [
        job.seconds * wanted.work / job.needs.work
        for job in similar
        if job.seconds is not None and 1 / FURTHEST <= wanted.work / job.needs.work <= FURTHEST
    ]
    result = Estimate(
        len(similar),
        min(times, default=None),
        max(times, default=None),
        _most(job.memory for job in similar),
        _most(job.gpu_memory for job in similar),
        _most(job.written for job in similar),
    )
    return None if result == Estimate(len(similar)) else replace(result, gpus=wanted.gpus)


def _network(config: Mapping[str, Any], manifest: Path | None) -> list[Any]:
    """Kind, architecture with its sizes, and images. The presence of a classification head counts, not its width."""
    model = {name: value for name, value in _section(config, "model").items() if name not in _COSTS_NOTHING}
    model["classification_head"] = model.get("classification_head") is not None
    fields = sorted((name, value) for name, value in model.items() if value is not None)
    size = _section(config, "data").get("image_size")
    return [config.get("kind", "train"), fields, size, None if manifest is None else str(manifest)]


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, dict) else {}


def _key(*parts: Any) -> str:
    return json.dumps(parts, default=str)


def _most(sizes: Iterable[int | None]) -> int | None:
    return max((size for size in sizes if size is not None), default=None)
