"""The config belongs to the checkpoint: config.yaml must not differ from it in a key on which predictions depend."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.contract.config import LearnConfig
from engine.contract.errors import BadInput
from engine.contract.names import CONFIG
from engine.contract.text import brief, clean
from engine.data.resize import RULE

_MATTER = ("kind", "data.image_size", "data.keep_aspect", "data.fold", "data.folds", "model.", "augment.hflip",
           "augment.vflip", "loss.map_presence")  # fmt: skip
_NO_TRAINING = ("name", "description", "device", "data.manifest", "data.cache", "data.workers", "model.encoder_weights",
                "model.partial_weights", "training.init_from", "training.compile")  # fmt: skip
_DO_NOT = ("model.encoder_weights", "model.partial_weights")


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted keys with their values."""
    dotted: dict[str, Any] = {}
    for key, value in values.items():
        dotted |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return dotted


def prediction_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """The dotted keys of a dumped config on which the predictions of trained weights, and choices from them, depend."""
    return {key: value for key, value in flat(config).items() if key.startswith(_MATTER) and key not in _DO_NOT}


def training_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """The dotted keys of a dumped config, without those that change no training: names, places and the device."""
    return {key: value for key, value in flat(config).items() if key not in _NO_TRAINING}


def prediction_digest(config: LearnConfig) -> str:
    """A hash of all config keys and rules, besides the weights, that turn an image into predictions."""
    rules = {"resize": RULE, **prediction_keys(config.model_dump(mode="json"))}
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:16]


def check_config(config: LearnConfig, checkpoint: Path, saved: Mapping[str, Any], *, training: bool = False) -> None:
    """Raises BadInput with a line for each such key that differs between a run's config.yaml and its checkpoint, or
    with `training`, for each key on which the rest of a training depends.

    `saved` is the state in the checkpoint. Keys that only one of the two has belong to another version, and pass.
    """
    keys_of = training_keys if training else prediction_keys
    trained, now = saved.get("config"), keys_of(config.model_dump(mode="json"))
    before = keys_of(trained) if isinstance(trained, dict) else {}
    name = clean(str(checkpoint.parent.parent / CONFIG))
    lines = [
        f"{name}: {key} is {_yaml(now[key])}, but {clean(checkpoint.name)} was trained with {_yaml(value)}; restore it"
        for key, value in before.items()
        if key in now and now[key] != value
    ]
    for key in {key: None for key, value in (before | now).items() if value is None}:  # a section on one side only
        if (key in now) != (key in before) and any(other.startswith(f"{key}.") for other in before | now):
            state = "off, but on" if key in now else "on, but off"
            lines.append(f"{name}: {key} is {state} in the training of {clean(checkpoint.name)}; restore it")
    if lines:
        raise BadInput(lines)


def _yaml(value: Any) -> str:
    """A value as in a config, with true, false and null."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else brief(value)
