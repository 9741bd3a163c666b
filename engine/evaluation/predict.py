"""Forward passes: batches of a network's predictions, with test-time augmentation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from engine.models.network import Prediction, XrayNetwork
from engine.process.device import Device

View = tuple[int, bool]
"""(quarter turns, whether flipped left to right afterwards)."""

VIEWS: dict[str, tuple[View, ...]] = {
    "none": ((0, False),),
    "h": ((0, False), (0, True)),
    "v": ((0, False), (2, True)),
    "hv": ((0, False), (0, True), (2, True)),
    "d4": tuple((turns, flipped) for turns in range(4) for flipped in (False, True)),
}
"""hv is the mean of three views: identity, horizontal flip, vertical flip. A vertical flip is a half turn and a
horizontal flip; d4 is all eight symmetries of the square."""


def apply_view(images: torch.Tensor, view: View) -> torch.Tensor:
    """(B, C, S, S) transformed to the view."""
    turns, flipped = view
    turned = torch.rot90(images, turns, (2, 3)) if turns else images
    return turned.flip(3) if flipped else turned


def undo_view(maps: torch.Tensor, view: View) -> torch.Tensor:
    """The inverse of `apply_view`."""
    turns, flipped = view
    back = maps.flip(3) if flipped else maps
    return torch.rot90(back, -turns, (2, 3)) if turns else back


def to_tensor(images: npt.NDArray[np.uint8], device: Device) -> torch.Tensor:
    """uint8 (B, S, S) -> float (B, 1, S, S), 0…1, on the device."""
    batch = torch.from_numpy(np.array(images)).to(device.device, non_blocking=True)
    return batch.unsqueeze(1).float().div_(255)


@torch.inference_mode()
def predict_batches(
    network: XrayNetwork, images: npt.NDArray[np.uint8], device: Device, batch_size: int
) -> Iterator[tuple[int, Prediction]]:
    """(index of the batch's first image, logits on the CPU) over all images, in order. The network is in eval mode
    meanwhile."""
    was_training = network.training
    network.eval()
    try:
        for start in range(0, len(images), batch_size):
            with device.autocast():
                prediction = network(to_tensor(images[start : start + batch_size], device))
            yield start, Prediction(*(None if logits is None else logits.float().cpu() for logits in prediction))
    finally:
        network.train(was_training)


@torch.inference_mode()
def mean_over_views(
    network: XrayNetwork, batch: torch.Tensor, device: Device, tta: str
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Means over the views, on the device: probability maps (B, 1, S, S), None for a classifier; and presence
    probabilities (B,) of the classification head or classifier, None without one. `batch`: float (B, 1, S, S) on the
    device. The network must be in eval mode. Does not wait for the device."""
    views = VIEWS[tta]
    maps: torch.Tensor | None = None
    presence: torch.Tensor | None = None
    for view in views:
        with device.autocast():
            prediction = network(apply_view(batch, view))
        if prediction.mask_logits is not None:
            view_maps = undo_view(prediction.mask_logits.float().sigmoid(), view)
            maps = view_maps if maps is None else maps + view_maps
        if prediction.presence_logit is not None:
            score = prediction.presence_logit.float().sigmoid()
            presence = score if presence is None else presence + score
    return None if maps is None else maps / len(views), None if presence is None else presence / len(views)
