"""What of a network holds still: its encoder for the first epochs, layers and batch norm for the whole training."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.contract.errors import BadInput
from engine.contract.training import TrainingConfig
from engine.models.network import XrayNetwork
from engine.training.layers import encoder_of, layers_of


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
