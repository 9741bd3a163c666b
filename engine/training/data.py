"""The data of a training: its splits, checked, and the loader that returns batches in a fixed order."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from engine.contract.config import LearnConfig
from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.batches import Batch, TrainingSamples
from engine.data.inputs import Inputs, load_inputs
from engine.data.manifest import Sample, fingerprint
from engine.data.sampling import Batches
from engine.data.splits import read_samples
from engine.data.window import report_missing
from engine.process.device import Device
from engine.process.exit import leave_stopping_to_the_parent, stops_delayed
from engine.process.progress import show_title
from engine.training.checkpoints import needs_negatives
from engine.training.ranks import Ranks


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The training and the validation split at the network's size, and the test split as files."""

    training: Inputs
    validation: Inputs
    test: tuple[Sample, ...] = ()

    @property
    def key(self) -> str:
        """Hash of the training samples and their order, which must not change when a training is resumed."""
        rows = [[sample.id, sample.fractured] for sample in self.training.samples]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples of all splits."""
        return (*self.training.samples, *self.validation.samples, *self.test)

    def fingerprints(self) -> dict[str, str]:
        """Split -> fingerprint of its data. Reads all files."""
        splits = {"train": self.training.samples, "val": self.validation.samples, "test": self.test}
        return {split: fingerprint(samples) for split, samples in splits.items() if samples}


def load_training_data(config: LearnConfig, run: Path | None = None) -> TrainingData:
    """Read both splits, those of the run if it has begun. Raises BadInput where they lack images that the config
    needs."""
    manifest = Path(config.data.manifest)
    samples = read_samples(config.data, run)
    splits = {split: [sample for sample in samples if sample.split == split] for split in ("train", "val")}
    name, metric = clean(str(manifest)), config.training.selection_metric
    for split, split_samples in splits.items():
        if not any(sample.fractured for sample in split_samples):
            raise BadInput(f"{name}: split {split} has no image with a fracture among {len(split_samples)}")
    if needs_negatives(metric) and all(sample.fractured for sample in splits["val"]):
        raise BadInput(
            f"{name}: split val has no image without a fracture, which training.selection_metric: {metric} needs; "
            "give dice_pos, iou_pos or loss"
        )
    report_missing([*splits["train"], *splits["val"]])
    size, keep, cache = config.data.image_size, config.data.keep_aspect, manifest if config.data.cache else None
    return TrainingData(
        load_inputs(splits["train"], size, keep, cache, "train", with_positions=config.data.patch is not None),
        load_inputs(splits["val"], size, keep, cache, "val"),
        tuple(sample for sample in samples if sample.split == "test"),
    )


def make_batches(config: LearnConfig, training: Inputs, first_step: int, ranks: Ranks) -> Batches:
    """All batches from that step on, and of each batch this rank's part."""
    fractured = [sample.fractured for sample in training.samples]
    return Batches(fractured, config.training, config.seed, first_step=first_step, rank=ranks.rank, ranks=ranks.size)


def make_loader(config: LearnConfig, training: Inputs, batches: Batches, device: Device) -> Iterator[Batch]:
    """The batches of the whole training; the loader processes are started here. The loader has its own generator: the
    default one would draw from the global random state and change dropout."""
    workers = config.data.workers
    if workers is None:
        workers = min(8, torch.get_num_threads()) if device.is_cuda else 0
    loader = DataLoader(
        TrainingSamples(training, config.data.patch),
        batch_size=None,  # a sample of the loader is a batch
        sampler=batches,
        num_workers=workers,
        pin_memory=device.is_cuda,
        worker_init_fn=partial(_begin_loader, os.getpid()),
        generator=torch.Generator().manual_seed(config.seed),
    )
    with stops_delayed():  # torch gives a new loader process a SIGTERM handler that ends it
        return iter(loader)


def _begin_loader(parent: int, worker: int) -> None:
    leave_stopping_to_the_parent(parent)
    show_title(f"loader {worker + 1}")
