"""Networks of segmentation-models-pytorch."""

from __future__ import annotations

from engine.contract.errors import BadInput
from engine.contract.models import SmpConfig
from engine.contract.text import clean
from engine.models.batch_norm import bear_batches_of_one
from engine.models.head import classification_head
from engine.models.registry import IMAGENET, Normalisation, Parts, builds
from engine.models.weights import load_encoder_weights


@builds(SmpConfig)
def build(config: SmpConfig, pretrained: bool) -> Parts:
    """Its input is (x - 0.5) / 0.5, or normalised as the weights want it that it begins from."""
    import segmentation_models_pytorch as smp

    options = {} if config.decoder_channels is None else _decoder_options(config)
    normalisation: Normalisation = ((0.5,) * config.in_channels, (0.5,) * config.in_channels)
    hub = pretrained and config.encoder_weights == "imagenet"
    if hub:
        print(f"encoder weights: fetching ImageNet's for {clean(config.encoder)} from the hub …", flush=True)
    try:
        body = smp.create_model(
            config.arch,
            encoder_name=config.encoder,
            encoder_weights=(True if config.encoder.startswith("tu-") else "imagenet") if hub else None,
            in_channels=config.in_channels,
            classes=1,
            **options,
        )
        if pretrained and config.encoder_weights and config.in_channels == 3:
            normalisation = IMAGENET
            if hub or config.encoder.startswith("tu-"):  # timm says it without its hub
                known = smp.encoders.get_preprocessing_params(config.encoder, "imagenet")
                normalisation = (tuple(known["mean"]), tuple(known["std"]))
    except Exception as error:  # smp, timm and the hub raise whatever they like
        raise BadInput(_why(config, hub, error)) from error
    if pretrained and config.encoder_weights and not hub:
        normalisation = load_encoder_weights(
            body.encoder, config.encoder_weights, normalisation, config.partial_weights
        )
    body.classification_head = classification_head(body.encoder.out_channels[-1], config.classification_head)
    bear_batches_of_one(body)
    return Parts(body, config.in_channels, *normalisation)


def _decoder_options(config: SmpConfig) -> dict[str, object]:
    if config.arch not in ("Unet", "UnetPlusPlus", "MAnet"):
        raise BadInput(f"model.decoder_channels: {config.arch} has no such decoder; leave it empty")
    channels = tuple(config.decoder_channels or ())
    return {"decoder_channels": channels, "encoder_depth": len(channels)}


def _why(config: SmpConfig, hub: bool, error: Exception) -> str:
    reason = clean(str(error).strip().split("\n")[0])[:160]
    if hub and not isinstance(error, KeyError | ValueError | TypeError):
        return (
            f"model.encoder_weights: imagenet for {clean(config.encoder)} could not be fetched from the hub "
            f"({reason}); give a local file, or efficientnet-lite0, or leave it empty"
        )
    return f"model.encoder: {config.arch} with {clean(config.encoder)} cannot be built ({reason})"
