"""Validation during training: at the network's size, without TTA, on every image of the split."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from engine.data.geometry import content_size
from engine.data.image import image_size
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
Content = tuple[int, int]
"""(rows, columns) of an image that are no padding."""


def validate(learner: Learner, inputs: Inputs, step: int) -> dict[str, float]:
    """Metrics of the split at the threshold of the grid that is best in it, and the loss. The presence score is the
    head's, or the map's maximum; a classifier has nothing but its presence score and its loss. As in an evaluation
    nothing that is said of padding counts, but for the loss. Raises Diverged, naming the step, where they are no
    numbers."""
    counts: list[Counts] = []
    scores: list[float] = []
    losses = 0.0
    fractured = np.array([sample.fractured for sample in inputs.samples], bool)
    contents = _contents(learner, inputs)
    batch_size = learner.config.training.batch_size
    for start, prediction in predict_batches(learner.network_that_counts, inputs.images, learner.device, batch_size):
        labels = torch.from_numpy(fractured[start : start + batch_size]).float()
        masks = np.array(inputs.masks[start : start + batch_size])
        targets = torch.from_numpy(masks).float()[:, None]
        loss = training_loss(prediction, targets, labels, learner.config.loss, float("inf"))
        losses += len(labels) * float(loss)
        inside = contents[start : start + batch_size]
        scores += _presence(prediction, inside)
        counts += _counts(prediction, masks, inside)
    check_validation(losses, step, learner)
    metrics = {"loss": losses / len(inputs.samples)}
    if counts:
        metrics |= _of_masks(counts, np.array([rows * columns for rows, columns in contents]))
    return metrics | presence_metrics(np.array(scores), fractured)


def _contents(learner: Learner, inputs: Inputs) -> list[Content]:
    """Of each image. A patch, which is smaller than the network's input, has no padding."""
    size, data = inputs.images.shape[1], learner.config.data
    if not data.keep_aspect or size != data.image_size:
        return [(size, size)] * len(inputs.samples)
    return [content_size(*image_size(sample.image), size, keep_aspect=True) for sample in inputs.samples]


def _presence(prediction: Prediction, contents: list[Content]) -> list[float]:
    """A score an image: the probability that the head gives, or the highest of the map."""
    masks, head = prediction
    if head is not None:
        return [float(score) for score in head.sigmoid()]
    assert masks is not None, "a network says something"
    return [
        float(each[0, :rows, :columns].amax().sigmoid()) for each, (rows, columns) in zip(masks, contents, strict=True)
    ]


def _counts(prediction: Prediction, masks: npt.NDArray[np.bool_], contents: list[Content]) -> list[Counts]:
    """Of each image; nothing for a classifier."""
    if prediction.mask_logits is None:
        return []
    maps = prediction.mask_logits.sigmoid()[:, 0].numpy()
    return [
        counts_at(quantise(each[:rows, :columns]), mask[:rows, :columns], GRID)
        for each, mask, (rows, columns) in zip(maps, masks, contents, strict=True)
    ]


def _of_masks(counts: list[Counts], pixels: npt.NDArray[np.int64]) -> dict[str, float]:
    """The metrics of the masks at the best threshold, and that threshold; `pixels` (N,) are the images' sizes."""
    tp, fp, fn = (np.stack(values) for values in zip(*counts, strict=True))
    place = best_threshold(tp, fp, fn)
    at_best = Confusion(tp[:, place], fp[:, place], fn[:, place], pixels)
    return {"threshold": float(GRID[place])} | segmentation_metrics(at_best)
