"""The layers of an encoder, from the image on: for learning rates layer by layer, and for layers that rest."""

from __future__ import annotations

from timm.models import group_parameters
from torch import nn

from engine.models.network import XrayNetwork

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
