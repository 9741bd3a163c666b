"""Networks of segmentation-models-pytorch."""

from __future__ import annotations

from engine.contract.errors import BadInput
from engine.contract.models import SmpConfig
from engine.models.blocks import IMAGENET, Normalisation, Parts, allow_batches_of_one, builds, classification_head
from engine.models.weights import HUB, building, encoder_normalisation


@builds(SmpConfig)
def build(config: SmpConfig, pretrained: bool) -> Parts:
    """The network, with its input normalised as its pretrained weights expect it, or as (x - 0.5) / 0.5."""
    import segmentation_models_pytorch as smp

    options = {} if config.decoder_channels is None else _decoder_options(config)
    hub, is_timm = pretrained and config.encoder_weights == HUB, config.encoder.startswith("tu-")
    published: Normalisation = IMAGENET
    with building(config, f"{config.arch} with {config.encoder}", hub):
        body = smp.create_model(
            config.arch,
            encoder_name=config.encoder,
            encoder_weights=(True if is_timm else "imagenet") if hub else None,
            in_channels=config.in_channels,
            classes=1,
            **options,
        )
        if config.in_channels == 3 and (hub or (is_timm and pretrained and config.encoder_weights)):
            known = smp.encoders.get_preprocessing_params(config.encoder, "imagenet")  # timm's are known offline too
            published = (tuple(known["mean"]), tuple(known["std"]))
    normalisation = encoder_normalisation(config, body.encoder, published, pretrained)
    body.classification_head = classification_head(body.encoder.out_channels[-1], config.classification_head)
    allow_batches_of_one(body)
    return Parts(body, config.in_channels, *normalisation)


def _decoder_options(config: SmpConfig) -> dict[str, object]:
    if config.arch not in ("Unet", "UnetPlusPlus", "MAnet"):
        raise BadInput(f"model.decoder_channels: {config.arch} has no such decoder; leave it empty")
    channels = tuple(config.decoder_channels or ())
    return {"decoder_channels": channels, "encoder_depth": len(channels)}
