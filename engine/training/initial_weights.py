"""Beginning from the weights of another run: a fine-tuning, a higher resolution, a new head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.models.checkpoint import load_checkpoint, weights_that_count
from engine.models.network import XrayNetwork
from engine.models.tensor_names import by_module, counted, shape, some

_NORMALISATION = {"mean", "std"}
"""Of the input: of the same shape in nearly every network, and no weights."""


def start_from(network: XrayNetwork, source: str) -> None:
    """Take every tensor that fits by name and shape out of a run folder's best.pt, or a checkpoint file, and print
    which did, which did not, and why. Batch norm's statistics and the input's normalisation come along.

    Raises BadInput in one line where no weight fits: statistics, biases and scales of norms alone are no beginning.
    """
    path = Path(source)
    if path.is_dir():
        path = path / names.CHECKPOINTS / names.BEST
    found = weights_that_count(load_checkpoint(path, "network"))
    own = network.state_dict()
    fitting = {name: found[name] for name in own if name in found and found[name].shape == own[name].shape}
    weights = [name for name, parameter in network.named_parameters() if parameter.ndim > 1]
    if not any(name in fitting for name in weights):
        raise BadInput(
            f"training.init_from: {clean(str(path))}: none of this network's {len(weights)} weights is in it in the "
            f"same shape; found {some(_weighed(found))}; expected {some(_weighed(own))}; give a run of the same model"
        )
    network.load_state_dict(fitting, strict=False)
    normalised = "its" if fitting.keys() >= _NORMALISATION else "not its"
    taken, there = len(_weighed(fitting)), len(_weighed(own))
    print(f"init_from {clean(str(path))}: {taken} of {there} tensors, and {normalised} input normalisation", flush=True)
    for line in _listed(_weighed(own), _weighed(found)):
        print(f"  {line}", flush=True)


def _weighed(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those that say how much of a network was found."""
    return {name: tensors[name] for name in counted(tensors) if name not in _NORMALISATION}


def _listed(own: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> Iterator[str]:
    """Every tensor of the network and of the checkpoint, and what became of it."""
    shapes = {
        name: f" ({shape(found[name])} there, {shape(own[name])} here)"
        for name in own
        if name in found and found[name].shape != own[name].shape
    }
    kinds = {
        "loaded": [name for name in own if name in found and name not in shapes],
        "not loaded, not in it": [name for name in own if name not in found],
        "not loaded, of another shape": list(shapes),
        "in it, without a place here": [name for name in found if name not in own],
    }
    for kind, group in kinds.items():
        if group:
            yield f"{kind}: {clean(', '.join(by_module(group, {**own, **found}, shapes)))}"
