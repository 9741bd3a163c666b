"""Beginning from the weights of another run: a fine-tuning, a higher resolution, a new head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.models.checkpoint import load_checkpoint, weights_that_count
from engine.models.network import XrayNetwork

_LISTED = 6


def start_from(network: XrayNetwork, source: str) -> None:
    """Take every tensor that fits by name and shape out of a run folder's best.pt, or a checkpoint file, and print how
    many did, which did not, and why. Batch norm's statistics and the input's normalisation come along.

    Raises BadInput in one line where none of the network's weights is in it.
    """
    path = Path(source)
    if path.is_dir():
        path = path / names.CHECKPOINTS / names.BEST
    found = weights_that_count(load_checkpoint(path, "network"))
    own = network.state_dict()
    fitting = {name: found[name] for name in own if name in found and found[name].shape == own[name].shape}
    if not any(name in fitting for name, _ in network.named_parameters()):
        raise BadInput(
            f"training.init_from: {clean(str(path))}: none of its {len(found)} tensors fits this network; "
            "give a run of the same model"
        )
    network.load_state_dict(fitting, strict=False)
    print(f"init_from {clean(str(path))}: {len(fitting)} of {len(own)} tensors", flush=True)
    for line in _left_out(own, found):
        print(f"  {line}", flush=True)


def _left_out(own: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> list[str]:
    """What keeps the weights that it began with, and what of the checkpoint has no place."""
    missing = [name for name in own if name not in found]
    other = [
        f"{name} ({_shape(found[name])} there, {_shape(own[name])} here)"
        for name in own
        if name in found and found[name].shape != own[name].shape
    ]
    unknown = [name for name in found if name not in own]
    kinds = (("not in it", missing), ("of another shape", other), ("in it, without a place here", unknown))
    return [f"{len(group)} {kind}: {_brief(group)}" for kind, group in kinds if group]


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _brief(group: list[str]) -> str:
    return clean(", ".join(group[:_LISTED])) + (", …" if len(group) > _LISTED else "")
