"""Config models of the networks. `arch` names the network; a function in engine/models builds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import Discriminator, Field, Tag

from engine.contract.base import EncoderWeights, Section
from engine.contract.text import clean

TAG = "model:"
"""Prefix of the tags that pydantic puts into the locations of errors in these models."""

SmpArchitecture = Literal["Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "PAN", "DeepLabV3",
                          "DeepLabV3Plus", "UPerNet", "Segformer"]  # fmt: skip


Volume = Literal["repeat", "pyramid", "dnp_plus"]


class ClassificationHeadConfig(Section):
    """A head on the deepest features that predicts whether the image shows a fracture."""

    hidden: int = Field(128, ge=0, le=4096, description="width of the hidden layer; 0: none")
    dropout: float = Field(0.2, ge=0.0, lt=1.0, description="dropout before the last layer")


_HEAD = Field(None, description="the second head; empty: none")
_ENCODER_WEIGHTS = Field(
    None,
    description="imagenet (from the hub), efficientnet-lite0 (from its package), a file, or empty: from scratch",
    examples=["imagenet", "efficientnet-lite0"],
)
_PARTIAL = Field(False, description="accept weights that fit only a part of the encoder; otherwise an error")


class SmpConfig(Section):
    """A segmentation-models-pytorch network, chosen by name and encoder."""

    arch: SmpArchitecture = Field(
        "Unet",
        description="network: one of segmentation-models-pytorch, or plain_unet, torchvision_deeplabv3, swin3d_adapter",
    )
    encoder: str = Field(
        "resnet18",
        min_length=1,
        max_length=100,
        description="encoder, by its name in segmentation-models-pytorch; timm encoders as tu-NAME",
        examples=[
            "resnet18",
            "resnet34",
            "resnet50",
            "efficientnet-b0",
            "tu-tf_efficientnet_lite0",
            "tu-convnext_tiny",
        ],
    )
    encoder_weights: EncoderWeights = _ENCODER_WEIGHTS
    partial_weights: bool = _PARTIAL
    in_channels: Literal[1, 3] = Field(3, description="grey images are repeated to this many channels")
    decoder_channels: tuple[Annotated[int, Field(ge=4, le=1024)], ...] | None = Field(
        None, min_length=3, max_length=5, description="channels of a U-shaped decoder, deepest first; empty: smp's own"
    )
    classification_head: ClassificationHeadConfig | None = _HEAD


class PlainUnetConfig(Section):
    """The U-Net of Ronneberger et al. (2015) with batch norm, from scratch. The second head reads the bottleneck."""

    arch: Literal["plain_unet"] = "plain_unet"
    levels: int = Field(3, ge=1, le=5, description="halvings of the resolution")
    channels: int = Field(32, ge=4, le=256, description="channels of the first level; each level doubles them")
    classification_head: ClassificationHeadConfig | None = _HEAD


class DeepLabConfig(Section):
    """torchvision's DeepLabV3 (stride 8, align_corners=False). smp's DeepLabV3 differs, and the weights of the two are
    not interchangeable."""

    arch: Literal["torchvision_deeplabv3"] = "torchvision_deeplabv3"
    backbone: Literal["resnet50", "resnet101"] = Field("resnet50", description="torchvision's dilated backbone")
    encoder_weights: EncoderWeights = Field(
        None,
        description="imagenet (from the hub), a file with a ResNet or a whole DeepLabV3, or empty: from scratch",
        examples=["imagenet"],
    )
    partial_weights: bool = _PARTIAL
    classification_head: ClassificationHeadConfig | None = _HEAD


class Swin3dConfig(Section):
    """torchvision's swin3d_t on a pseudo-volume made from one image, with a light decoder."""

    arch: Literal["swin3d_adapter"] = "swin3d_adapter"
    volume: Volume = Field(
        "repeat",
        description="slices: the image repeated; smoothings 9-7-5-3-1; or smooth 7, smooth 3, image, sharpened, detail",
    )
    depth: int = Field(5, ge=1, le=5, description="slices of the volume; fewer than 5: those around the image")
    rgb: bool = Field(False, description="three neighbouring slices as the channels of each; else one grey, repeated")
    depth_bias: bool = Field(True, description="a learned bias for each depth, added to the embedded patches")
    reduce: Literal["mean", "max"] = Field("mean", description="how the depth dimension of the features is reduced")
    decoder_channels: int = Field(64, ge=8, le=512, description="channels of the decoder, a feature pyramid")
    encoder_weights: EncoderWeights = Field(
        None,
        description="kinetics (from the hub), a file with a swin3d_t, or empty: from scratch",
        examples=["kinetics"],
    )
    partial_weights: bool = _PARTIAL
    classification_head: ClassificationHeadConfig | None = _HEAD


class TimmClassifierConfig(Section):
    """A stand-alone timm classifier: a presence logit and no mask."""

    arch: Literal["timm_classifier"] = "timm_classifier"
    encoder: str = Field(
        "resnet18",
        min_length=1,
        max_length=100,
        description="network, by its timm name",
        examples=["resnet18", "resnet50", "convnext_tiny", "tf_efficientnet_lite0"],
    )
    encoder_weights: EncoderWeights = _ENCODER_WEIGHTS
    partial_weights: bool = _PARTIAL
    in_channels: Literal[1, 3] = Field(3, description="grey images are repeated to this many channels")
    dropout: float = Field(0.2, ge=0.0, lt=1.0, description="dropout before the last layer")


def _tag(value: Any) -> str:
    arch = value.get("arch") if isinstance(value, Mapping) else getattr(value, "arch", None)
    return TAG + (arch if isinstance(arch, str) and arch in SEGMENTERS else "smp")


SegmenterConfig: TypeAlias = Annotated[
    Annotated[SmpConfig, Tag(TAG + "smp")]
    | Annotated[PlainUnetConfig, Tag(TAG + "plain_unet")]
    | Annotated[DeepLabConfig, Tag(TAG + "torchvision_deeplabv3")]
    | Annotated[Swin3dConfig, Tag(TAG + "swin3d_adapter")],
    Discriminator(_tag),
]
"""Any segmentation network. Add a new one here, tagged with its `arch`, and to ModelConfig."""

SEGMENTERS: dict[str, type[Section]] = {
    get_args(arm)[1].tag.removeprefix(TAG): get_args(arm)[0] for arm in get_args(get_args(SegmenterConfig)[0])
}
"""Config model by `arch`; `smp` covers all of segmentation-models-pytorch's networks."""

ModelConfig: TypeAlias = SmpConfig | PlainUnetConfig | DeepLabConfig | Swin3dConfig | TimmClassifierConfig
"""Any network."""


def title(config: ModelConfig) -> str:
    """The network in a few words: `Unet with resnet18`."""
    inner = getattr(config, "encoder", None) or getattr(config, "backbone", None)
    return f"{config.arch} with {clean(inner)}" if inner else config.arch
