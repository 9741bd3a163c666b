"""Optimiser and learning-rate schedule."""

from __future__ import annotations

import math

import torch

from engine.contract.training import TrainingConfig
from engine.models.network import XrayNetwork


def make_optimizer(network: XrayNetwork, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW with the encoder's own learning rate where one is given, and no decay on norms and biases."""
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((".encoder." in name, parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": (config.encoder_lr or config.lr) if in_encoder else config.lr,
                "weight_decay": config.weight_decay if decays else 0.0,
            }
            for (in_encoder, decays), parameters in groups.items()
        ]
    )


def warmup_cosine(step: int, steps: int, warmup_steps: float, final_ratio: float) -> float:
    """The share of the highest learning rate at a step: linear up, then a half cosine down to `final_ratio`."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(1.0, steps - warmup_steps)
    return final_ratio + (1 - final_ratio) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def make_schedule(
    optimizer: torch.optim.Optimizer, config: TrainingConfig, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The schedule, to be stepped once a training step."""
    steps = config.epochs * steps_per_epoch
    warmup = min(config.warmup_epochs * steps_per_epoch, steps / 2)
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, steps, warmup, config.final_lr_ratio)
    )
