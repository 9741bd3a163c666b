"""Pseudo-volumes: slices made of one image, for an encoder that wants a video. All of it stays on the device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional as F

from engine.contract.models import Volume

Slice = Callable[[torch.Tensor], torch.Tensor]


def pseudo_volume(image: torch.Tensor, kind: Volume, depth: int, rgb: bool = False) -> torch.Tensor:
    """(B, 3, S, S), a normalised image of three equal planes -> (B, 3, D, S, S), D = `depth`, one more if that is odd.

    `depth` below 5 takes the neighbours of the image itself (`slices_of`). Swin3D reads slices in pairs and pads an odd
    number with zeros, which no video holds: the last slice comes twice instead. `rgb`: a slice's channels are the slice
    before it, itself and the one after it (at the ends itself); else all three are the slice.

    All slices are linear in the image, and all but `detail`, which lies around zero, keep its mean: normalising it
    before or after makes no difference to them.
    """
    slices = [make(image) for make in slices_of(kind, depth)]
    last = depth - 1
    places = [*range(depth), last][: depth + depth % 2]
    offsets = (-1, 0, 1) if rgb else (0, 0, 0)
    planes = [
        torch.stack([slices[min(max(place + offset, 0), last)][:, channel] for place in places], 1)
        for channel, offset in enumerate(offsets)
    ]
    return torch.stack(planes, 1)


def slices_of(kind: Volume, depth: int) -> tuple[Slice, ...]:
    """The `depth` neighbouring slices of a volume nearest to the image itself: of a pyramid the finest, of `dnp_plus`
    the image, then smooth 3, sharpened, smooth 7 and detail, one more at each depth."""
    slices, image = VOLUMES[kind]
    first = min(max(image - depth // 2, 0), len(slices) - depth)
    return slices[first : first + depth]


def same(image: torch.Tensor) -> torch.Tensor:
    """The image."""
    return image


def smooth(image: torch.Tensor, size: int) -> torch.Tensor:
    """The mean of `size` x `size` pixels (odd), at the edges of those that there are; columns first, then rows."""
    across = F.avg_pool2d(image, (1, size), 1, (0, size // 2), count_include_pad=False)
    return F.avg_pool2d(across, (size, 1), 1, (size // 2, 0), count_include_pad=False)


def sharpened(image: torch.Tensor) -> torch.Tensor:
    """Unsharp masking: what smoothing by 3 takes away, added once more."""
    return 2 * image - smooth(image, 3)


def detail(image: torch.Tensor) -> torch.Tensor:
    """What smoothing by 7 takes away; around zero, the mean of a normalised image."""
    return image - smooth(image, 7)


def _smooth(size: int) -> Slice:
    return partial(smooth, size=size)


VOLUMES: dict[Volume, tuple[tuple[Slice, ...], int]] = {
    "repeat": ((same,) * 5, 2),
    "pyramid": ((_smooth(9), _smooth(7), _smooth(5), _smooth(3), same), 4),
    "dnp_plus": ((_smooth(7), _smooth(3), same, sharpened, detail), 2),
}
"""The five slices of each volume, and the place of the image itself among them."""
