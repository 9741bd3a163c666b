"""Which weights learn how fast: groups of parameters with learning rates and weight decay of their own."""

from __future__ import annotations

from typing import Any

from torch import nn

from engine.contract.training import TrainingConfig
from engine.models.network import XrayNetwork
from engine.training.freeze import resting_weights
from engine.training.layers import encoder_of, layers_of


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
