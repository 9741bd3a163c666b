"""What of a network holds still: its encoder for the first epochs, its batch norm for the whole training."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.contract.training import TrainingConfig
from engine.models.network import XrayNetwork


def encoder_of(network: XrayNetwork) -> nn.Module | None:
    """The part that was or may be pretrained; None where a network has none."""
    encoder = getattr(network.segmenter, "encoder", None)
    return encoder if isinstance(encoder, nn.Module) else None


def batch_norms(network: nn.Module) -> Iterator[_BatchNorm]:
    """torch's, and timm's, which are of the same class."""
    return (module for module in network.modules() if isinstance(module, _BatchNorm))


def freeze_batch_norm(network: XrayNetwork) -> None:
    """No gradients for the weights of batch norm, so that no optimiser that is made afterwards holds them."""
    for norm in batch_norms(network):
        norm.requires_grad_(False)


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
    if config.freeze_batch_norm:
        for norm in batch_norms(network):
            norm.eval()
        freeze_batch_norm(network)


def steps_of_rest(config: TrainingConfig, steps_per_epoch: int) -> int:
    """How many steps the encoder rests."""
    return round(config.freeze_encoder_epochs * steps_per_epoch)
