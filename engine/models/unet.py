"""The plain U-Net: Ronneberger et al., 2015 (arXiv 1505.04597), padded and with batch norm, from scratch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from engine.contract.models import PlainUnetConfig
from engine.models.blocks import Logits, Parts, builds, classification_head, convolution, with_presence


@builds(PlainUnetConfig)
def build(config: PlainUnetConfig, pretrained: bool) -> Parts:
    """One channel in, normalised as (x - 0.5) / 0.5. There are no pretrained weights."""
    return Parts(PlainUnet(config), 1, (0.5,), (0.5,))


class PlainUnet(nn.Module):
    """(B, 1, S, S) -> mask logits (B, 1, S, S), with a second head also presence logits (B, 1); S is a multiple of
    2^levels."""

    def __init__(self, config: PlainUnetConfig) -> None:
        super().__init__()
        widths = [config.channels << level for level in range(config.levels + 1)]
        self.encoder = ContractingPath(widths)
        self.decoder = ExpandingPath(widths)
        self.classification_head = classification_head(widths[-1], config.classification_head)

    def forward(self, image: torch.Tensor) -> Logits:
        maps = self.encoder(image)
        return with_presence(self.decoder(maps), maps[-1], self.classification_head)


class ContractingPath(nn.Module):
    """Maps of every level, finest first; the last is the bottleneck."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(_twice(inputs, outputs) for inputs, outputs in pairwise([1, *widths]))

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        maps = [self.levels[0](image)]
        for level in self.levels[1:]:
            maps.append(level(F.max_pool2d(maps[-1], 2)))
        return maps


class ExpandingPath(nn.Module):
    """Up from the bottleneck; each level also gets the contracting path's map of that level."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        steps = list(pairwise(reversed(widths)))
        self.up = nn.ModuleList(nn.ConvTranspose2d(deep, fine, 2, stride=2) for deep, fine in steps)
        self.levels = nn.ModuleList(_twice(2 * fine, fine) for _, fine in steps)
        self.mask = nn.Conv2d(widths[0], 1, 1)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        *skipped, deep = maps
        for up, level, skip in zip(self.up, self.levels, reversed(skipped), strict=True):
            deep = level(torch.cat([skip, up(deep)], 1))
        masks: torch.Tensor = self.mask(deep)
        return masks


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(convolution(inputs, outputs), convolution(outputs, outputs))
