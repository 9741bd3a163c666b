"""Validation during training: at the network's size, without TTA, on every image; and checks for NaN and infinity."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from engine.contract.errors import Failed
from engine.contract.text import clean
from engine.data.images import image_size
from engine.data.inputs import Inputs
from engine.data.resize import content_size
from engine.evaluation.choose import GRID, best_threshold
from engine.evaluation.metrics import Confusion, presence_metrics, segmentation_metrics
from engine.evaluation.predict import predict_batches
from engine.evaluation.scores import counts_at, quantise
from engine.models.network import Prediction
from engine.training.data import TrainingData
from engine.training.event_log import Reading
from engine.training.learner import Learner
from engine.training.losses import training_loss

Counts = tuple[npt.NDArray[np.int64], ...]
"""tp, fp and fn of an image at every threshold of the grid."""
Content = tuple[int, int]
"""(rows, columns) of an image without padding."""


def validate(learner: Learner, inputs: Inputs, step: int) -> dict[str, float]:
    """Metrics of the split at the grid's best threshold, and the loss. The presence score is the head's, or the map's
    maximum; a classifier has only presence metrics and the loss. As in an evaluation, predictions in the padding are
    ignored, but for the loss. Raises Diverged, with the step, for NaN or infinite predictions."""
    counts: list[Counts] = []
    scores: list[float] = []
    losses = 0.0
    fractured = np.array([sample.fractured for sample in inputs.samples], bool)
    contents = _contents(learner, inputs)
    batch_size = learner.config.training.batch_size
    for start, prediction in predict_batches(learner.evaluated_network, inputs.images, learner.device, batch_size):
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
    """Size without padding of each image. A patch, which is smaller than the network's input, has no padding."""
    size, data = inputs.images.shape[1], learner.config.data
    if not data.keep_aspect or size != data.image_size:
        return [(size, size)] * len(inputs.samples)
    return [content_size(*image_size(sample.image), size, keep_aspect=True) for sample in inputs.samples]


def _presence(prediction: Prediction, contents: list[Content]) -> list[float]:
    """A score per image: the head's probability, or the maximum of the map."""
    masks, head = prediction
    if head is not None:
        return [float(score) for score in head.sigmoid()]
    assert masks is not None, "a network without a head predicts masks"
    return [
        float(each[0, :rows, :columns].amax().sigmoid()) for each, (rows, columns) in zip(masks, contents, strict=True)
    ]


def _counts(prediction: Prediction, masks: npt.NDArray[np.bool_], contents: list[Content]) -> list[Counts]:
    """Counts of each image; nothing for a classifier."""
    if prediction.mask_logits is None:
        return []
    maps = prediction.mask_logits.sigmoid()[:, 0].numpy()
    return [
        counts_at(quantise(each[:rows, :columns]), mask[:rows, :columns], GRID)
        for each, mask, (rows, columns) in zip(maps, masks, contents, strict=True)
    ]


def _of_masks(counts: list[Counts], pixels: npt.NDArray[np.int64]) -> dict[str, float]:
    """The metrics of the masks at the best threshold, and that threshold; `pixels` (N,) are the sizes of the images."""
    tp, fp, fn = (np.stack(values) for values in zip(*counts, strict=True))
    index = best_threshold(tp, fp, fn)
    at_best = Confusion(tp[:, index], fp[:, index], fn[:, index], pixels)
    return {"threshold": float(GRID[index])} | segmentation_metrics(at_best)


class Diverged(Failed):
    """Loss or weights are NaN or infinite. The message says where, and what to try."""


def check_losses(reading: Reading, step: int, learner: Learner, training_data: TrainingData) -> None:
    """Raises Diverged, with the ids of the batch, for a NaN or infinite loss in the steps up to `step`."""
    first = step - len(reading.losses) + 1
    for number, (loss, positions) in enumerate(zip(reading.losses, reading.positions, strict=True), first):
        if not math.isfinite(loss):
            ids = _images(positions, learner, training_data)
            raise Diverged(f"{_kind(loss)} loss at step {number}: {_remedy(learner)}{ids}")


def check_weights(learner: Learner, step: int, positions: Sequence[int], training_data: TrainingData) -> None:
    """Raises Diverged for NaN or infinite weights, which the last step can produce from a finite loss. `positions`: of
    the last batch's images, for their ids."""
    tensors = [tensor for tensor in learner.network.state_dict().values() if tensor.is_floating_point()]
    finite = torch.stack([tensor.isfinite().all() for tensor in tensors])
    if not bool(finite.all()):
        ids = _images(positions, learner, training_data)
        raise Diverged(f"NaN or infinite weights after step {step}: {_remedy(learner)}{ids}")


def check_validation(loss: float, step: int, learner: Learner) -> None:
    """Raises Diverged for a NaN or infinite loss in the validation."""
    if not math.isfinite(loss):
        raise Diverged(f"{_kind(loss)} loss in the validation after step {step}: {_remedy(learner)}")


def _images(positions: Sequence[int], learner: Learner, training_data: TrainingData) -> str:
    """The images of a batch. Each rank names its own: the loss is the mean over all."""
    ids = ", ".join(clean(training_data.training.samples[position].id) for position in positions)
    whose = "its images" if learner.ranks.size == 1 else f"the images of rank {learner.ranks.rank}"
    return f" ({whose}: {ids})"


def _kind(loss: float) -> str:
    return "NaN" if math.isnan(loss) else "infinite"


def _remedy(learner: Learner) -> str:
    lower = "lower training.lr"
    if learner.device.autocast_dtype is None:
        return lower
    return f"{lower}, or disable mixed precision (training.precision: fp32; now {learner.device.precision})"
