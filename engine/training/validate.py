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
from engine.training.diverged import check_validation
from engine.training.learner import Learner
from engine.training.losses import training_loss


def validate(learner: Learner, inputs: Inputs, step: int) -> dict[str, float]:
    """Metrics of the split at the threshold of the grid that is best in it, and the loss. The presence score is the
    head's, or the map's maximum. Raises Diverged, naming the step, where they are no numbers."""
    counts: list[tuple[npt.NDArray[np.int64], ...]] = []
    scores: list[float] = []
    losses = 0.0
    fractured = np.array([sample.fractured for sample in inputs.samples], bool)
    batch_size = learner.config.training.batch_size
    for start, prediction in predict_batches(learner.network, inputs.images, learner.device, batch_size):
        masks = inputs.masks[start : start + len(prediction.mask_logits)]
        truth = torch.from_numpy(fractured[start : start + len(masks)]).float()
        targets = torch.from_numpy(np.array(masks)).float()[:, None]
        losses += len(masks) * float(training_loss(prediction, targets, truth, learner.config.loss, float("inf")))
        maps = prediction.mask_logits.float().sigmoid()[:, 0].numpy()
        head = prediction.presence_logit
        scores.extend(maps.max((1, 2)).tolist() if head is None else head.float().sigmoid().tolist())
        for probabilities, mask in zip(maps, masks, strict=True):
            counts.append(counts_at(quantise(probabilities), mask, GRID))
    check_validation(losses, step, learner)
    tp, fp, fn = (np.stack(values) for values in zip(*counts, strict=True))
    place = best_threshold(tp, fp, fn)
    pixels = np.full(len(inputs.samples), inputs.images[0].size)
    at_best = Confusion(tp[:, place], fp[:, place], fn[:, place], pixels)
    metrics = {"loss": losses / len(inputs.samples), "threshold": float(GRID[place])}
    metrics |= segmentation_metrics(at_best) | presence_metrics(np.array(scores), fractured)
    return metrics
