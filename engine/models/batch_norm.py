"""Batch norm that a batch of one image does not break."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def bear_batches_of_one(network: nn.Module) -> None:
    """Let every batch norm of a network train on one image, also where that was pooled to one pixel: in DeepLab's ASPP,
    PAN, UPerNet, or at the bottom of a deep encoder at 32 pixels.

    There a batch norm sees one value a channel, which has no variance, and torch's raises. Each gets a forward for that
    and stays what it is: timm's, which are torch's with dropout and activation behind, too. Names and values stay.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm) and not isinstance(module, BearsOne):
            kind = type(module)
            if kind not in _BEARING:
                _BEARING[kind] = type(kind.__name__, (BearsOne, kind), {})
            module.__class__ = _BEARING[kind]


class BearsOne(_BatchNorm):
    """Takes one value a channel as its running statistics say, as in evaluation, and leaves these as they are."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or input.numel() != self.num_features:
            return super().forward(input)
        self.training = False  # its own alone: a dropout inside goes on
        try:
            return super().forward(input)
        finally:
            self.training = True


class BatchNorm(BearsOne, nn.BatchNorm2d):
    """torch's, for networks of our own."""


_BEARING: dict[type, type[BearsOne]] = {nn.BatchNorm2d: BatchNorm}
"""What bears one in whose place; of other classes made when they are met."""
