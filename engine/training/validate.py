"""Validation during training: at the network's size, without TTA, on every image; and checks for NaN and infinity."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from engine.contract.errors import Failed
from engine.contract.text import clean
from engine.data.images import image_size
from engine.data.inputs import Inputs
from engine.data.resize import content_size
from engine.evaluation.choose import GRID, best_threshold
from engine.evaluation.metrics import Confusion, presence_metrics, segmentation_metrics
from engine.evaluation.predict import predict_batches
from engine.evaluation.scores import counted_pixels, counted_values, counts_at, quantise
from engine.training.data import TrainingData
from engine.training.event_log import Reading
from engine.training.learner import Learner
from engine.training.losses import training_loss


def validate(learner: Learner, inputs: Inputs, step: int) -> dict[str, float]:
    """The loss of the split, and its metrics at the best threshold of the grid. The presence score is that of the head
    or, without one, the maximum of the map; a classifier has only presence metrics and the loss. As in an evaluation,
    the metrics ignore predictions in the padding and in ignored pixels. Raises Diverged, with the step, for NaN or
    infinite predictions."""
    counts, pixels, scores, losses = [], [], [], 0.0
    fractured = np.array([sample.fractured for sample in inputs.samples], bool)
    contents = _content_sizes(learner, inputs)
    batch_size = learner.config.training.batch_size
    for start, prediction in predict_batches(learner.evaluated_network, inputs.images, learner.device, batch_size):
        batch = slice(start, start + batch_size)
        masks = np.array(inputs.masks[batch])
        labels, targets = torch.from_numpy(fractured[batch]).float(), torch.from_numpy(masks).float()[:, None]
        loss = training_loss(prediction, targets, labels, learner.config.loss, float("inf"))
        losses += len(labels) * float(loss)
        logits, head = prediction
        if head is not None:
            scores += head.sigmoid().tolist()
        if logits is None:
            continue
        for image, map_, mask, (rows, columns) in zip(
            logits, logits.sigmoid()[:, 0].numpy(), masks, contents[batch], strict=True
        ):
            content = mask[:rows, :columns]
            counts.append(counts_at(quantise(map_[:rows, :columns]), content, GRID))
            pixels.append(counted_pixels(content))
            if head is None:
                shown = counted_values(image[0, :rows, :columns].numpy(), content)
                scores.append(float(torch.tensor(shown.max()).sigmoid()))
    if not math.isfinite(losses):
        raise Diverged(f"{_kind(losses)} loss in the validation after step {step}: {_remedy(learner)}")
    metrics = {"loss": losses / len(inputs.samples)}
    if counts:
        tp, fp, fn = (np.stack(values) for values in zip(*counts, strict=True))
        best = best_threshold(tp, fp, fn)
        metrics["threshold"] = float(GRID[best])
        metrics |= segmentation_metrics(Confusion(tp, fp, fn, np.array(pixels)).at(best))
    return metrics | presence_metrics(np.array(scores), fractured)


def _content_sizes(learner: Learner, inputs: Inputs) -> list[tuple[int, int]]:
    """(rows, columns) of each image without padding. A patch, which is smaller than the network's input, has none."""
    size, data = inputs.images.shape[1], learner.config.data
    if not data.keep_aspect or size != data.image_size:
        return [(size, size)] * len(inputs.samples)
    return [content_size(*image_size(sample.image), size, keep_aspect=True) for sample in inputs.samples]


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
