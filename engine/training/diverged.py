"""A training whose numbers are none any more ends before it saves them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from engine.contract.errors import Failed
from engine.contract.text import clean
from engine.training.learner import Learner
from engine.training.material import Material
from engine.training.meter import Reading


class Diverged(Failed):
    """Loss or weights are NaN or infinite; the message says where, and what to try."""


def check_losses(reading: Reading, step: int, learner: Learner, material: Material) -> None:
    """Raises Diverged, with the ids of the batch, where a loss of the steps up to `step` is no number."""
    first = step - len(reading.losses) + 1
    for number, (loss, places) in enumerate(zip(reading.losses, reading.places, strict=True), first):
        if not math.isfinite(loss):
            its = _images(places, learner, material)
            raise Diverged(f"{_kind(loss)} loss at step {number}: {_remedy(learner)}{its}")


def check_weights(learner: Learner, step: int, places: Sequence[int], material: Material) -> None:
    """Raises Diverged where the network holds what is no number: the loss before the last step may have been one.
    `places`: of the last batch's images, whose ids it tells."""
    tensors = [tensor for tensor in learner.network.state_dict().values() if tensor.is_floating_point()]
    finite = torch.stack([tensor.isfinite().all() for tensor in tensors])
    if not bool(finite.all()):
        its = _images(places, learner, material)
        raise Diverged(f"NaN or infinite weights after step {step}: {_remedy(learner)}{its}")


def check_validation(loss: float, step: int, learner: Learner) -> None:
    """Raises Diverged where the network's answers on validation are no numbers."""
    if not math.isfinite(loss):
        raise Diverged(f"{_kind(loss)} loss in the validation after step {step}: {_remedy(learner)}")


def _images(places: Sequence[int], learner: Learner, material: Material) -> str:
    """The images of a batch. Each rank tells its own: the loss is the mean of all."""
    ids = ", ".join(clean(material.training.samples[place].id) for place in places)
    whose = "its images" if learner.ranks.size == 1 else f"the images of rank {learner.ranks.rank}"
    return f" ({whose}: {ids})"


def _kind(loss: float) -> str:
    return "NaN" if math.isnan(loss) else "infinite"


def _remedy(learner: Learner) -> str:
    lower = "lower training.lr"
    if learner.device.autocast_dtype is None:
        return lower
    return f"{lower}, or turn mixed precision off (training.precision: fp32; now {learner.device.precision})"
