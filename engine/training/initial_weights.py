"""Initial weights from another run (training.init_from): fine-tuning, a higher resolution, a new head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.models.checkpoint import evaluated_weights, load_checkpoint
from engine.models.network import XrayNetwork
from engine.models.weights import by_module, counted, some

_NORMALISATION = {"mean", "std"}
"""Input normalisation: of the same shape in nearly every network, and no weights."""


def load_initial_weights(network: XrayNetwork, source: str) -> None:
    """Load every tensor that fits by name and shape from a run folder's best.pt or a checkpoint file, and print which
    were loaded, which were not, and why. Batch norm statistics and input normalisation are loaded too. Raises BadInput
    in one line where no weight fits: statistics, biases and scales of norms alone are not enough."""
    path = Path(source)
    if path.is_dir():
        path = path / names.CHECKPOINTS / names.BEST
    saved = evaluated_weights(load_checkpoint(path, "network"))
    own = network.state_dict()
    fitting = {name: saved[name] for name in own if name in saved and saved[name].shape == own[name].shape}
    weights = [name for name, parameter in network.named_parameters() if parameter.ndim > 1]
    if not any(name in fitting for name in weights):
        raise BadInput(
            f"training.init_from: {clean(str(path))}: has none of this network's {len(weights)} weights in the "
            f"same shape; found {some(_weighed(saved))}; expected {some(_weighed(own))}; give a run of the same model"
        )
    network.load_state_dict(fitting, strict=False)
    normalised = "its" if fitting.keys() >= _NORMALISATION else "not its"
    network_tensors, file_tensors = _weighed(own), _weighed(saved)
    groups = {
        "loaded": [name for name in network_tensors if name in fitting],
        "not in the file": [name for name in network_tensors if name not in file_tensors],
        "of another shape": [name for name in network_tensors if name in file_tensors and name not in fitting],
        "in the file and not used": [name for name in file_tensors if name not in network_tensors],
    }
    count = f"{len(groups['loaded'])} of {len(network_tensors)} tensors"
    print(f"init_from {clean(str(path))}: {count}, and {normalised} input normalisation", flush=True)
    for kind, group in groups.items():
        if group:
            print(f"  {kind}: {by_module(group)}", flush=True)


def _weighed(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors that count when a message says how much was loaded."""
    return {name: tensors[name] for name in counted(tensors) if name not in _NORMALISATION}
