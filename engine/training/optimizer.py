"""Optimiser and learning rates: the schedule, parameter groups, frozen layers, and gradient accumulation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from timm.models import group_parameters
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.contract.errors import BadInput
from engine.contract.training import TrainingConfig
from engine.models.network import XrayNetwork
from engine.process.device import Device

_POLY_POWER = 0.9
"""As in DeepLab (Chen et al. 2017)."""

_TENSORS_A_LAYER = 12
"""timm's count for a network that does not define its layers."""


def make_optimizer(network: XrayNetwork, config: TrainingConfig, device: Device) -> torch.optim.Optimizer:
    """The config's optimiser over all trainable weights; sgd has Nesterov momentum 0.9. On a GPU it is one fused
    kernel, which itself skips an update with infinite gradients: otherwise the scaler of float16 would wait for the GPU
    at each update."""
    options: dict[str, Any] = {"fused": True} if device.is_cuda else {}
    groups = parameter_groups(network, config)
    return create_optimizer_v2(groups, config.optimizer, lr=config.lr, momentum=0.9, **options)


def share_of_highest(
    schedule: Literal["cosine", "poly", "constant"], update: int, updates: int, warmup: float, final: float
) -> float:
    """The share of the highest learning rate at an update: linear up in the warm-up, then down to `final` along half a
    cosine or a power of the remaining updates, or constant."""
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
    """The schedule, stepped once per update. A warm-up takes at most half of the training."""
    per_epoch = math.ceil(steps_per_epoch / config.accumulate)
    updates = config.epochs * per_epoch
    warmup = min(config.warmup_epochs * per_epoch, updates / 2)
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda update: share_of_highest(config.schedule, update, updates, warmup, config.final_lr_ratio)
    )


def parameter_groups(network: XrayNetwork, config: TrainingConfig) -> list[dict[str, Any]]:
    """The optimiser's parameter groups: all trainable weights, norms and biases without weight decay. The encoder
    learns at `encoder_lr`, if given, and with `layer_decay` each of its layers at that share of the next one's rate;
    decoder and heads learn at `lr`."""
    encoder = encoder_of(network)
    frozen = {id(weight) for weight in frozen_weights(network, config)}
    shares = layer_shares(encoder, config.layer_decay) if encoder is not None else {}
    groups: dict[tuple[bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and id(parameter) not in frozen:
            share = shares.get(id(parameter))
            rate = config.lr if share is None else share * (config.encoder_lr or config.lr)
            decays = parameter.ndim > 1 and "bias" not in name.rpartition(".")[2]  # Swin has biases of two dimensions
            groups.setdefault((share is not None, rate, decays), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": config.weight_decay if decays else 0.0}
        for (_, rate, decays), parameters in groups.items()
    ]


def layer_shares(encoder: nn.Module, layer_decay: float | None) -> dict[int, float]:
    """Parameter id -> its share of the encoder's learning rate."""
    layers = layers_of(encoder)
    decoder_layer = 1 + max(layers.values(), default=0)
    decay = layer_decay or 1.0
    return {id(parameter): decay ** (decoder_layer - layers[name]) for name, parameter in encoder.named_parameters()}


def encoder_of(network: XrayNetwork) -> nn.Module | None:
    """The part that can be pretrained; None if the network has none."""
    encoder = getattr(network.segmenter, "encoder", None)
    return encoder if isinstance(encoder, nn.Module) else None


def layers_of(encoder: nn.Module) -> dict[str, int]:
    """The layer of each parameter, from 0 at the image. Layers are those of timm's group matcher. An encoder without
    one (smp's own, torchvision's, and timm's as smp wraps them) has twelve tensors per layer, in the order in which
    they are defined, as in timm."""
    matcher = getattr(encoder, "group_matcher", None)
    if callable(matcher):
        return dict(group_parameters(encoder, matcher(coarse=False), reverse=True))
    return {name: position // _TENSORS_A_LAYER for position, (name, _) in enumerate(encoder.named_parameters())}


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """torch's batch norms, and timm's, which have the same base class."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def freeze_batch_norm(network: XrayNetwork) -> None:
    """Turn off the gradients of batch norm weights, so that an optimiser made later leaves them out."""
    for norm in batch_norms(network):
        norm.requires_grad_(False)


def frozen_weights(network: XrayNetwork, config: TrainingConfig) -> list[nn.Parameter]:
    """The weights of the encoder's first `freeze_layers` layers, which are frozen for the whole training. Raises
    BadInput in one line where it has fewer layers."""
    if not config.freeze_layers:
        return []
    encoder = encoder_of(network)
    layers = {} if encoder is None else layers_of(encoder)
    count = len(set(layers.values()))
    if encoder is None or config.freeze_layers > count:
        raise BadInput(f"training.freeze_layers: {config.freeze_layers}; the encoder has only {count} layers")
    return [parameter for name, parameter in encoder.named_parameters() if layers[name] < config.freeze_layers]


def set_modes(network: XrayNetwork, config: TrainingConfig, *, encoder_frozen: bool) -> None:
    """Training mode for all that learns. Frozen parts are in eval mode, so that their batch norm statistics are frozen
    too, and get no gradients. To be called before the first step, after everything that puts the network into eval
    mode, and when the encoder is no longer frozen."""
    network.train()
    encoder = encoder_of(network)
    if encoder is not None and config.freeze_encoder_epochs:
        encoder.train(not encoder_frozen)
        encoder.requires_grad_(not encoder_frozen)
    frozen = frozen_weights(network, config)
    ids = {id(weight) for weight in frozen}
    for weight in frozen:
        weight.requires_grad_(False)
    for module in network.modules() if frozen else ():
        own = {id(weight) for weight in module.parameters()}
        if own and own <= ids:  # all of its weights are frozen: its batch norm and dropout are off too
            module.eval()
    if config.freeze_batch_norm:
        for norm in batch_norms(network):
            norm.eval()
        freeze_batch_norm(network)


@dataclass(frozen=True, slots=True)
class Part:
    """A step's part in its update."""

    of: int = 1
    """Number of steps in the update; the loss of each is divided by it."""
    is_first: bool = True
    is_last: bool = True


WHOLE = Part()


def part_of_update(step: int, steps_per_epoch: int, accumulate: int) -> Part:
    """The part of a step, counted from 0. The last update of an epoch consists of the remaining steps, so that every
    epoch ends with an update."""
    position = step % steps_per_epoch
    first = position - position % accumulate
    end = min(first + accumulate, steps_per_epoch)
    return Part(end - first, position == first, position == end - 1)
