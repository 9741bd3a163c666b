"""Validation during training: at the network's size, without TTA, on every image of the split."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from engine.data.inputs import Inputs
from engine.evaluation.counts import counts_at, quantise
from engine.evaluation.metrics import Confusion, presence_metrics, segmentation_metrics
from engine.evaluation.predict import predict_batches
from engine.evaluation.thresholds import GRID, best_threshold
from engine.models.network import Prediction
from engine.training.diverged import check_validation
from engine.training.learner import Learner
from engine.training.losses import training_loss

Counts = tuple[npt.NDArray[np.int64], ...]
"""tp, fp and fn of an image at every threshold of the grid."""


def validate(learner: Learner, inputs: Inputs, step: int) -> dict[str, float]:
    """Metrics of the split at the threshold of the grid that is best in it, and the loss. The presence score is the
    head's, or the map's maximum; a classifier has nothing but its presence score and its loss. Raises Diverged, naming
    the step, where they are no numbers."""
    counts: list[Counts] = []
    scores: list[float] = []
    losses = 0.0
    fractured = np.array([sample.fractured for sample in inputs.samples], bool)
    batch_size = learner.config.training.batch_size
    for start, prediction in predict_batches(learner.network_that_counts, inputs.images, learner.device, batch_size):
        labels = torch.from_numpy(fractured[start : start + batch_size]).float()
        masks = np.array(inputs.masks[start : start + batch_size])
        targets = torch.from_numpy(masks).float()[:, None]
        loss = training_loss(prediction, targets, labels, learner.config.loss, float("inf"))
        losses += len(labels) * float(loss)
        scores += _presence(prediction)
        counts += _counts(prediction, masks)
    check_validation(losses, step, learner)
    metrics = {"loss": losses / len(inputs.samples)}
    if counts:
        metrics |= _of_masks(counts, inputs.images[0].size)
    return metrics | presence_metrics(np.array(scores), fractured)


def _presence(prediction: Prediction) -> list[float]:
    """A score an image: the probability that the head gives, or the highest of the map."""
    masks, head = prediction
    if head is not None:
        return [float(score) for score in head.sigmoid()]
    assert masks is not None, "a network says something"
    return [float(score) for score in masks.amax((1, 2, 3)).sigmoid()]


def _counts(prediction: Prediction, masks: npt.NDArray[np.bool_]) -> list[Counts]:
    """Of each image; nothing for a classifier."""
    if prediction.mask_logits is None:
        return []
    maps = prediction.mask_logits.sigmoid()[:, 0].numpy()
    return [counts_at(quantise(each), mask, GRID) for each, mask in zip(maps, masks, strict=True)]


def _of_masks(counts: list[Counts], pixels: int) -> dict[str, float]:
    """The metrics of the masks at the best threshold, and that threshold."""
    tp, fp, fn = (np.stack(values) for values in zip(*counts, strict=True))
    place = best_threshold(tp, fp, fn)
    at_best = Confusion(tp[:, place], fp[:, place], fn[:, place], np.full(len(counts), pixels))
    return {"threshold": float(GRID[place])} | segmentation_metrics(at_best)
