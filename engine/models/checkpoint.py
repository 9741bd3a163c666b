"""Checkpoints: written completely or not at all, and read without executing their contents."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.contract.errors import BadInput
from engine.contract.files import write_whole
from engine.contract.formats import newer
from engine.contract.text import clean

FORMAT = "xray-checkpoint/1"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, strings, lists and dicts. The old file stays until the new one is complete."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    path.parent.mkdir(exist_ok=True)
    write_whole(path, buffer.getbuffer())


class Damaged(BadInput):
    """A checkpoint that cannot be read."""


def load_checkpoint(path: Path, *parts: str) -> dict[str, Any]:
    """The state in a checkpoint, on the CPU. Raises BadInput in one line for a file of another program, and Damaged
    where it is cut off, has a wrong checksum (torch itself accepts changed tensors), or lacks one of the parts."""
    name = clean(str(path))
    try:
        with path.open("rb") as file:
            if (garbled := zipfile.ZipFile(file).testzip()) is not None:
                raise Damaged(f"{name}: damaged (the checksum of {clean(garbled)} is wrong)")
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadInput(f"{name}: no such checkpoint; train the run first") from None
    except Damaged:
        raise
    except Exception as error:  # damaged files fail in many ways
        raise Damaged(f"{name}: damaged ({clean(str(error).split(chr(10))[0])[:120]})") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        reason = newer(state.get("format"), FORMAT) if isinstance(state, dict) else None
        other = f"not a checkpoint of xray-engine ({FORMAT}); give weights of other programs as model.encoder_weights"
        raise BadInput(f"{name}: {reason or other}")
    for part in parts:
        if not isinstance(state.get(part), dict):
            raise Damaged(f"{name}: damaged (it has no {part})")
    return state


def evaluated_weights(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights that were validated: the EMA of a last.pt that has one, else the network."""
    weights: dict[str, torch.Tensor] = state.get("ema") or state["network"]
    return weights


def load_network(network: nn.Module, tensors: Mapping[str, Any], path: Path) -> None:
    """Load a checkpoint's tensors into a network. Raises BadInput in one line for tensors of another network."""
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = clean(str(error).split("\n")[1 if "\n" in str(error) else 0].strip())[:160]
        raise BadInput(f"{clean(str(path))}: not the weights of this config's network ({reason})") from None
