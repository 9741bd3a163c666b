"""The convolution that the networks of our own are made of."""

from __future__ import annotations

from torch import nn

from engine.models.batch_norm import BatchNorm


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """(B, inputs, h, w) -> (B, outputs, h, w): 3x3, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), BatchNorm(outputs), nn.ReLU(inplace=True)
    )
