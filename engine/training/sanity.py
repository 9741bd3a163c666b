"""`xray-engine train --sanity`: can a recipe overfit one batch? If not, it will not learn from many either."""

from __future__ import annotations

from dataclasses import replace

import torch

from engine.contract.augment import AugmentConfig
from engine.contract.config import ClassifierConfig, LearnConfig
from engine.contract.errors import BadInput, Failed
from engine.data.batches import Batch, TrainingSamples
from engine.data.inputs import Inputs
from engine.process.device import pick_device
from engine.process.progress import Progress
from engine.training.data import TrainingData, load_training_data, make_batches
from engine.training.event_log import Meter
from engine.training.learner import Learner, make_learner
from engine.training.optimizer import set_modes
from engine.training.ranks import ALONE
from engine.training.validate import check_losses, validate

STEPS = 48
_SMOOTHED = 4
"""Losses at either end that are averaged: with dropout single ones vary."""
_LEAST = 0.01
"""Smallest relative decrease of the loss that counts; less may be chance."""


def check_sanity(config: LearnConfig) -> None:
    """Train on one batch for a few dozen steps, without augmentation and at the recipe's highest learning rate, and
    print the change of the loss and of the batch's Dice (for a classifier: of its ROC-AUC). Writes no run. Raises
    Failed where one of them is not better afterwards; Diverged, BadInput."""
    still = AugmentConfig(hflip=0.0, affine_chance=0.0, intensity_chance=0.0)
    plain = {  # nothing that keeps the recipe from overfitting one batch
        "schedule": "constant",
        "warmup_epochs": 0.0,
        "accumulate": 1,
        "ema": None,
        "freeze_encoder_epochs": 0.0,
        "positive_share": config.training.positive_share or 0.5,
    }
    config = config.model_copy(update={"augment": still, "training": config.training.model_copy(update=plain)})
    torch.manual_seed(config.seed)
    device = pick_device(config.device, config.training.precision, config.training.channels_last)
    training_data = load_training_data(config)
    batch = _one_batch(config, training_data)
    samples = [training_data.training.samples[position] for position in batch.position.tolist()]
    fractured = batch.fractured.bool().tolist()  # a patch of a fractured image may show no fracture
    samples = [replace(sample, fractured=flag) for sample, flag in zip(samples, fractured, strict=True)]
    inputs = Inputs(tuple(samples), batch.image[:, 0].numpy(), batch.mask[:, 0].numpy())
    learner = make_learner(config, device, STEPS, pretrained=True)
    positives = sum(sample.fractured for sample in inputs.samples)
    print(f"sanity: {STEPS} steps on one batch of {len(inputs.samples)} images ({positives} positive)", flush=True)
    bad = []
    for name, before, after, is_better in _overfit(learner, training_data, batch, inputs):
        print(f"{name} {before:.4f} -> {after:.4f}: {'better' if is_better else 'not better'}", flush=True)
        if not is_better:
            bad.append(name)
    if bad:
        raise Failed(
            f"sanity: failed: {' and '.join(bad)} of a single batch did not improve in {STEPS} steps; check the masks, "
            "the loss weights and training.lr"
        )
    print("sanity: passed", flush=True)


def _one_batch(config: LearnConfig, training_data: TrainingData) -> Batch:
    """The first batch of the training that contains a fracture."""
    samples = TrainingSamples(training_data.training, config.data.patch)
    for draws in make_batches(config, training_data.training, 0, ALONE):
        batch = samples[draws]
        if bool(batch.fractured.any()):
            return batch
    raise BadInput("training.batch_size: no batch contains a fracture; give a larger one")


def _overfit(
    learner: Learner, training_data: TrainingData, batch: Batch, inputs: Inputs
) -> list[tuple[str, float, float, bool]]:
    """(metric, before, after, whether it is better) of the loss and of the batch."""
    before = validate(learner, inputs, 0)
    set_modes(learner.network, learner.config.training, encoder_frozen=False)
    meter = Meter(len(batch.position), ALONE.mean)
    with Progress("sanity", STEPS, "steps") as progress:
        for _ in range(STEPS):
            # The end of a presence ramp: at its start the loss would grow because of the ramp.
            meter.add(learner.step(batch, float("inf")), batch.position)
            progress.advance()
    reading = meter.read(0)
    check_losses(reading, STEPS, learner, training_data)
    first, last = (sum(losses) / _SMOOTHED for losses in (reading.losses[:_SMOOTHED], reading.losses[-_SMOOTHED:]))
    changes = [("loss", first, last, first - last > _LEAST * abs(first))]
    after = validate(learner, inputs, STEPS)
    name = "roc_auc_presence" if isinstance(learner.config, ClassifierConfig) else "dice_pos"
    if name in before:  # no ROC-AUC where all images of the batch are positive
        changes.append((name, before[name], after[name], after[name] > before[name] or after[name] == 1.0))
    return changes
