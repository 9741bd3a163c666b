"""A 3-D Swin Transformer (Liu et al., 2022, arXiv 2106.13230) on a pseudo-volume made of one image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from engine.contract.models import Swin3dConfig, Volume
from engine.models.blocks import IMAGENET, Logits, Parts, builds, classification_head, convolution, with_presence
from engine.models.weights import Part, load_file, load_hub

HUB = "kinetics"

Slice = Callable[[torch.Tensor], torch.Tensor]


@builds(Swin3dConfig)
def build(config: Swin3dConfig, pretrained: bool) -> Parts:
    """Three equal channels in, normalised like Kinetics (which is like ImageNet). A weights file holds a swin3d_t."""
    from torchvision.models.video import Swin3D_T_Weights, swin3d_t

    body = Swin3dAdapter(Swin3dEncoder(swin3d_t(weights=None)), config)
    if pretrained and config.encoder_weights == HUB:
        load_hub(body.encoder, Swin3D_T_Weights.KINETICS400_V1.url, HUB)
    elif pretrained and config.encoder_weights:
        parts = {"encoder": Part(body.encoder, ("", "encoder."))}
        load_file(parts, config.encoder_weights, HUB, config.partial_weights)
    return Parts(body, 3, *IMAGENET)


class Swin3dAdapter(nn.Module):
    """(B, 3, S, S), three equal channels -> mask logits (B, 1, S, S), with a second head also presence (B, 1)."""

    def __init__(self, encoder: Swin3dEncoder, config: Swin3dConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        pairs, width = (config.depth + 1) // 2, encoder.widths[0]
        self.depth_bias = nn.Parameter(torch.zeros(pairs, 1, 1, width)) if config.depth_bias else None
        self.decoder = PyramidDecoder(encoder.widths, config.decoder_channels)
        self.classification_head = classification_head(encoder.widths[-1], config.classification_head)

    def forward(self, image: torch.Tensor) -> Logits:
        volume = pseudo_volume(image, self.config.volume, self.config.depth, self.config.rgb)
        maps = [self._flat(features) for features in self.encoder(volume, self.depth_bias)]
        return with_presence(self.decoder(maps), maps[-1], self.classification_head)

    def _flat(self, features: torch.Tensor) -> torch.Tensor:
        """(B, T, h, w, C) -> (B, C, h, w): reduces the depth dimension."""
        flat = features.amax(1) if self.config.reduce == "max" else features.mean(1)
        return flat.permute(0, 3, 1, 2)


class Swin3dEncoder(nn.Module):
    """torchvision's Swin3D without pooling and classes. Its parameters keep their names."""

    def __init__(self, swin: Any) -> None:
        super().__init__()
        self.patch_embed, self.pos_drop = swin.patch_embed, swin.pos_drop
        self.features, self.norm = swin.features, swin.norm
        stages = (len(swin.features) + 1) // 2
        self.widths = [swin.patch_embed.proj.out_channels << stage for stage in range(stages)]

    def forward(self, volume: torch.Tensor, depth_bias: torch.Tensor | None = None) -> list[torch.Tensor]:
        """(B, 3, D, S, S) -> the map of each stage (B, T, h, w, C), finest first, T = D / 2 and h = S / 4, S / 8 …
        (rounded up). The last one is normalised, as torchvision does before its pooling. `depth_bias`, (T, 1, 1, C), is
        added to the embedded patches: attention itself knows only relative depth."""
        tokens = self.patch_embed(volume)
        if depth_bias is not None:
            tokens = tokens + depth_bias
        tokens = self.pos_drop(tokens)
        maps = []
        for index, step in enumerate(self.features):  # alternating: the blocks of a stage, the merging of its patches
            tokens = step(tokens)
            if index % 2 == 0:
                maps.append(tokens)
        maps[-1] = self.norm(maps[-1])
        return maps


class PyramidDecoder(nn.Module):
    """Feature pyramid (Lin et al., 2017, arXiv 1612.03144) from stride 32 to 4, then two upsampling steps to full
    size."""

    def __init__(self, widths: list[int], channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.levels = nn.ModuleList(convolution(channels, channels) for _ in widths[1:])
        self.steps = nn.ModuleList((convolution(channels, channels // 2), convolution(channels // 2, channels // 4)))
        self.mask = nn.Conv2d(channels // 4, 1, 1)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        *finer, deep = [lateral(features) for lateral, features in zip(self.laterals, maps, strict=True)]
        for level, fine in zip(self.levels, reversed(finer), strict=True):
            deep = level(fine + F.interpolate(deep, fine.shape[-2:], mode="bilinear", align_corners=False))
        for step in self.steps:
            deep = step(F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False))
        masks: torch.Tensor = self.mask(deep)
        return masks


def pseudo_volume(image: torch.Tensor, kind: Volume, depth: int, rgb: bool = False) -> torch.Tensor:
    """(B, 3, S, S), a normalised image of three equal planes -> (B, 3, D, S, S), D = `depth`, plus one if that is odd.

    `depth` below 5 takes the neighbouring slices nearest to the image itself: for a pyramid the finest; for `dnp_plus`
    the image, then smooth 3, sharpened, smooth 7 and detail. Swin3D reads slices in pairs and pads an odd number with
    zeros, which no video contains, so the last slice is repeated instead. `rgb`: the channels of a slice are the slice
    before it, itself and the one after it (at the ends itself); otherwise all three are the slice.
    """
    made, middle = VOLUMES[kind]
    first, last = min(max(middle - depth // 2, 0), len(made) - depth), depth - 1
    slices = [make(image) for make in made[first : first + depth]]
    indices = [*range(depth), last][: depth + depth % 2]
    offsets = (-1, 0, 1) if rgb else (0, 0, 0)
    planes = [
        torch.stack([slices[min(max(index + offset, 0), last)][:, channel] for index in indices], 1)
        for channel, offset in enumerate(offsets)
    ]
    return torch.stack(planes, 1)


def smooth(image: torch.Tensor, size: int) -> torch.Tensor:
    """The mean of `size` x `size` pixels (odd), at the edges of those inside the image; columns first, then rows."""
    across = F.avg_pool2d(image, (1, size), 1, (0, size // 2), count_include_pad=False)
    return F.avg_pool2d(across, (size, 1), 1, (size // 2, 0), count_include_pad=False)


def sharpened(image: torch.Tensor) -> torch.Tensor:
    """Unsharp masking: adds the difference from smoothing by 3 once more."""
    return 2 * image - smooth(image, 3)


def detail(image: torch.Tensor) -> torch.Tensor:
    """The difference from smoothing by 7; around zero, the mean of a normalised image."""
    return image - smooth(image, 7)


def _same(image: torch.Tensor) -> torch.Tensor:
    return image


VOLUMES: dict[Volume, tuple[tuple[Slice, ...], int]] = {
    "repeat": ((_same,) * 5, 2),
    "pyramid": ((*(partial(smooth, size=size) for size in (9, 7, 5, 3)), _same), 4),
    "dnp_plus": ((partial(smooth, size=7), partial(smooth, size=3), _same, sharpened, detail), 2),
}
"""The five slices of each volume, and the index of the image itself among them."""
