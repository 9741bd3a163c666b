"""Optimiser and learning rates: the schedule, parameter groups, frozen layers, and gradient accumulation."""

from __future__ import annotations

import math
from collections.abc import Iterator
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


def parameter_groups(network: XrayNetwork, config: TrainingConfig) -> list[dict[str, Any]]:
    """What an optimiser takes: all that learns, norms and biases without decay.

    The encoder learns at `encoder_lr`, where one is given, and with `layer_decay` each of its layers at that share of
    the next one's; decoder and heads, which come behind the last, at `lr`.
    """
    encoder = encoder_of(network)
    resting = {id(weight) for weight in resting_weights(network, config)}
    shares = layer_shares(encoder, config.layer_decay) if encoder is not None else {}
    groups: dict[tuple[bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and id(parameter) not in resting:
            share = shares.get(id(parameter))
            rate = config.lr if share is None else share * (config.encoder_lr or config.lr)
            decays = parameter.ndim > 1 and "bias" not in name.rpartition(".")[2]  # Swin has biases of two dimensions
            groups.setdefault((share is not None, rate, decays), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": config.weight_decay if decays else 0.0}
        for (_, rate, decays), parameters in groups.items()
    ]


def layer_shares(encoder: nn.Module, layer_decay: float | None) -> dict[int, float]:
    """The share of the encoder's learning rate at which each parameter (by its id) learns."""
    layers = layers_of(encoder)
    behind = 1 + max(layers.values(), default=0)
    decay = layer_decay or 1.0
    return {id(parameter): decay ** (behind - layers[name]) for name, parameter in encoder.named_parameters()}


_TENSORS_A_LAYER = 12
"""As timm counts layers in a network that does not say which it has."""


def encoder_of(network: XrayNetwork) -> nn.Module | None:
    """The part that was or may be pretrained; None where a network has none."""
    encoder = getattr(network.segmenter, "encoder", None)
    return encoder if isinstance(encoder, nn.Module) else None


def layers_of(encoder: nn.Module) -> dict[str, int]:
    """The layer of each parameter, from 0 at the image.

    Layers are those of timm's group matcher. An encoder without one (smp's own, torchvision's, and timm's as smp wraps
    them) has twelve tensors a layer, in the order in which they are defined, as timm does it.
    """
    matcher = getattr(encoder, "group_matcher", None)
    if callable(matcher):
        return dict(group_parameters(encoder, matcher(coarse=False), reverse=True))
    return {name: place // _TENSORS_A_LAYER for place, (name, _) in enumerate(encoder.named_parameters())}


def batch_norms(network: nn.Module) -> Iterator[_BatchNorm]:
    """torch's, and timm's, which are of the same class."""
    return (module for module in network.modules() if isinstance(module, _BatchNorm))


def freeze_batch_norm(network: XrayNetwork) -> None:
    """No gradients for the weights of batch norm, so that no optimiser that is made afterwards holds them."""
    for norm in batch_norms(network):
        norm.requires_grad_(False)


def resting_weights(network: XrayNetwork, config: TrainingConfig) -> list[nn.Parameter]:
    """What rests for the whole training: the weights of the encoder's first `freeze_layers` layers.

    Raises BadInput in one line where it has fewer.
    """
    if not config.freeze_layers:
        return []
    encoder = encoder_of(network)
    layers = {} if encoder is None else layers_of(encoder)
    count = len(set(layers.values()))
    if encoder is None or config.freeze_layers > count:
        raise BadInput(f"training.freeze_layers: {config.freeze_layers}; the encoder has {count} layers, give no more")
    return [parameter for name, parameter in encoder.named_parameters() if layers[name] < config.freeze_layers]


def set_modes(network: XrayNetwork, config: TrainingConfig, *, encoder_rests: bool) -> None:
    """Training mode for all that learns; what rests is in eval mode, so that its batch norm keeps its statistics too,
    and gets no gradients.

    To be called before the first step, behind everything that puts the network into eval mode, and when the encoder's
    rest is over.
    """
    network.train()
    encoder = encoder_of(network)
    if encoder is not None and config.freeze_encoder_epochs:
        encoder.train(not encoder_rests)
        encoder.requires_grad_(not encoder_rests)
    if resting := resting_weights(network, config):
        _lay_to_rest(network, resting)
    if config.freeze_batch_norm:
        for norm in batch_norms(network):
            norm.eval()
        freeze_batch_norm(network)


def _lay_to_rest(network: XrayNetwork, resting: list[nn.Parameter]) -> None:
    """A part all of whose weights rest is in eval mode, so that its batch norm and dropout rest too."""
    for weight in resting:
        weight.requires_grad_(False)
    ids = {id(weight) for weight in resting}
    for module in network.modules():
        own = {id(weight) for weight in module.parameters()}
        if own and own <= ids:
            module.eval()


def steps_of_rest(config: TrainingConfig, steps_per_epoch: int) -> int:
    """How many steps the encoder rests."""
    return round(config.freeze_encoder_epochs * steps_per_epoch)


@dataclass(frozen=True, slots=True)
class Part:
    """A step's part in its update."""

    of: int = 1
    """Steps that make the update; the loss of each counts as one of so many."""
    is_first: bool = True
    is_last: bool = True


WHOLE = Part()


def part_of_update(step: int, steps_per_epoch: int, accumulate: int) -> Part:
    """Of a step of the training, counted from 0. An epoch's last update is made of the steps that are left, so that
    every epoch ends with one."""
    place = step % steps_per_epoch
    first = place - place % accumulate
    end = min(first + accumulate, steps_per_epoch)
    return Part(end - first, place == first, place == end - 1)


def updates_per_epoch(steps_per_epoch: int, accumulate: int) -> int:
    return -(-steps_per_epoch // accumulate)
