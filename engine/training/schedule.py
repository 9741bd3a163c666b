"""Optimiser and learning-rate schedule."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]

from engine.contract.training import TrainingConfig
from engine.device import Device
from engine.models.network import XrayNetwork
from engine.training.accumulate import updates_per_epoch
from engine.training.groups import parameter_groups

_POLY_POWER = 0.9
"""As DeepLab's authors had it (Chen et al. 2017)."""


def make_optimizer(network: XrayNetwork, config: TrainingConfig, device: Device) -> torch.optim.Optimizer:
    """The config's, over all that learns; sgd has Nesterov momentum 0.9.

    On a GPU it is one kernel, which itself leaves out an update with gradients that are none: otherwise the scaler of
    float16 would wait for the GPU at each update to know of them.
    """
    options: dict[str, Any] = {"fused": True} if device.is_cuda else {}
    groups = parameter_groups(network, config)
    return create_optimizer_v2(groups, config.optimizer, lr=config.lr, momentum=0.9, **options)


def share_of_highest(
    schedule: Literal["cosine", "poly", "constant"], update: int, updates: int, warmup: float, final: float
) -> float:
    """The share of the highest learning rate at an update: linear up through the warm-up, then down to `final` along
    half a cosine or a power of what is left, or not at all."""
    if update < warmup:
        return (update + 1) / (warmup + 1)
    if schedule == "constant":
        return 1.0
    progress = min(1.0, (update - warmup) / max(1.0, updates - warmup))
    if schedule == "poly":
        return final + (1 - final) * math.pow(1 - progress, _POLY_POWER)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def make_schedule(
    optimizer: torch.optim.Optimizer, config: TrainingConfig, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The schedule, to be stepped once an update. A warm-up takes half of the training at most."""
    an_epoch = updates_per_epoch(steps_per_epoch, config.accumulate)
    updates = config.epochs * an_epoch
    warmup = min(config.warmup_epochs * an_epoch, updates / 2)
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda update: share_of_highest(config.schedule, update, updates, warmup, config.final_lr_ratio)
    )
