"""torchvision's DeepLabV3: Chen et al., 2017 (arXiv 1706.05587), at stride 8."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from engine.contract.models import DeepLabConfig
from engine.models.blocks import (
    IMAGENET,
    Logits,
    Parts,
    allow_batches_of_one,
    builds,
    classification_head,
    with_presence,
)
from engine.models.weights import Part, load_file, load_hub

HUB = "imagenet"


@builds(DeepLabConfig)
def build(config: DeepLabConfig, pretrained: bool) -> Parts:
    """Three channels in, normalised like ImageNet. A weights file may hold a ResNet (for the backbone), torchvision's
    DeepLabV3, or a network of ours."""
    from torchvision.models import ResNet50_Weights, ResNet101_Weights
    from torchvision.models.segmentation import deeplabv3_resnet50, deeplabv3_resnet101

    make, hub = {
        "resnet50": (deeplabv3_resnet50, ResNet50_Weights.IMAGENET1K_V1),
        "resnet101": (deeplabv3_resnet101, ResNet101_Weights.IMAGENET1K_V1),
    }[config.backbone]
    whole = make(weights=None, weights_backbone=None, num_classes=1, aux_loss=False)
    body = DeepLab(whole.backbone, whole.classifier, config)
    if pretrained and config.encoder_weights == HUB:
        load_hub(body.encoder, hub.url, HUB)
    elif pretrained and config.encoder_weights:
        parts = {
            "encoder": Part(body.encoder, ("", "encoder.")),
            "decoder": Part(body.decoder, ("decoder.", "classifier.")),
        }
        load_file(parts, config.encoder_weights, HUB, config.partial_weights)
    return Parts(body, 3, *IMAGENET)


class DeepLab(nn.Module):
    """(B, 3, S, S) -> mask logits (B, 1, S, S), with a second head also presence logits (B, 1). `encoder` is
    torchvision's dilated ResNet (2048 channels at stride 8), `decoder` its DeepLabHead. The second head reads the
    encoder's last features."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, config: DeepLabConfig) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.classification_head = classification_head(2048, config.classification_head)
        allow_batches_of_one(self)

    def forward(self, image: torch.Tensor) -> Logits:
        features = self.encoder(image)["out"]
        coarse = self.decoder(features)
        masks = F.interpolate(coarse, image.shape[-2:], mode="bilinear", align_corners=False)
        return with_presence(masks, features, self.classification_head)
