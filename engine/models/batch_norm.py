"""Batch norm that a batch of one image does not break."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def bear_batches_of_one(network: nn.Module) -> None:
    """Let every batch norm of a network train on one image, also where that was pooled to one pixel: in DeepLab's ASPP,
    PAN, UPerNet, or at the bottom of a deep encoder at 32 pixels.

    There a batch norm sees one value a channel, which has no variance, and torch's raises. Parameters and names stay.
    """
    for name, child in network.named_children():
        if type(child) is nn.BatchNorm2d:
            replacement = BatchNorm(
                child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
            )
            replacement.load_state_dict(child.state_dict())
            setattr(network, name, replacement)
        else:
            bear_batches_of_one(child)


class BatchNorm(nn.BatchNorm2d):
    """Takes one value a channel as its running statistics say, as in evaluation, and leaves these as they are."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if self.training and features.numel() == self.num_features:
            return F.batch_norm(
                features, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
            )
        return super().forward(features)
