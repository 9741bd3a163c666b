"""DeepLabV3 is torchvision's, to the bit."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torchvision.models.segmentation import deeplabv3_resnet50

from engine.models.network import XrayNetwork

RENAMED = {"encoder": "backbone", "decoder": "classifier"}


def test_its_masks_are_those_of_torchvisions_own_forward(networks: dict[str, XrayNetwork]) -> None:
    body = networks["torchvision_deeplabv3"].eval().segmenter
    with torch.device("meta"):
        whole = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=1, aux_loss=False).eval()
    state = {
        f"{RENAMED[part]}.{rest}": tensor
        for name, tensor in body.state_dict().items()
        for part, _, rest in [name.partition(".")]
        if part in RENAMED
    }
    whole.load_state_dict(state, assign=True)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        masks, presence = body(image)
        assert torch.equal(masks, whole(image)["out"])
        features = whole.backbone(image)["out"]
        assert features.shape == (1, 2048, 8, 8)
        assert torch.equal(presence, body.classification_head(features))
        coarse = whole.classifier(features)
        assert torch.equal(masks, F.interpolate(coarse, (64, 64), mode="bilinear", align_corners=False))
