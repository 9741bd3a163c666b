"""Probabilities that nnU-Net left in our format: a run that can be blended, though its network is never asked again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract import names
from engine.contract.errors import BadInput
from engine.contract.formats import newer
from engine.contract.load import load_nnunet_config
from engine.contract.nnunet import NnunetDataConfig
from engine.contract.text import clean
from engine.contract.yaml_file import read_mapping
from engine.data.folds import read_samples
from engine.data.manifest import fingerprint
from engine.data.moved import check_manifest
from engine.evaluation.cache import FORMAT, INDEX
from engine.evaluation.probabilities import ARRAY, Probabilities
from engine.folders import open_array

VIEWS = ("mirror", "none")
"""nnU-Net's own views, those first that are taken where both were predicted."""


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run folder with probabilities of val and test, all of one view and one checkpoint."""

    folder: Path
    data: NnunetDataConfig
    view: str
    sha256: str
    """Of the checkpoint that made them."""

    @property
    def checkpoint(self) -> Path:
        """What a blend's artifact names as this member's: the probabilities themselves."""
        return self.folder / names.PREDICTIONS / f"test_{self.view}"

    def probabilities(self, split: str) -> Probabilities:
        """Those of a split of its manifest. Raises BadInput where the data have changed since."""
        samples = [sample for sample in read_samples(self.data) if sample.split == split]
        folder = self.folder / names.PREDICTIONS / f"{split}_{self.view}"
        data, kept = fingerprint(samples), _index(folder)
        levels = open_array(folder / ARRAY) if kept else None
        is_same = kept.get("data") == data and kept.get("ids") == [sample.id for sample in samples]
        if levels is None or not is_same or len(levels) != len(samples):
            raise BadInput(f"{clean(str(folder))}: not of what {clean(self.data.manifest)} holds now; predict it anew")
        return Probabilities(tuple(samples), levels, None, True, data, str(kept.get("device")))


def is_nnunet(folder: Path) -> bool:
    """Whether it is a run of nnU-Net's. Raises BadInput where there is no config."""
    return read_mapping(folder / names.CONFIG).get("kind") == "nnunet"


def open_kept(folder: Path) -> KeptRun:
    """A run of nnU-Net's that was predicted. Raises BadInput in one line where it was not."""
    config = load_nnunet_config(folder / names.CONFIG)
    check_manifest(folder, config.data.manifest)
    for view in VIEWS:
        made = {_index(folder / names.PREDICTIONS / f"{split}_{view}").get("checkpoint") for split in ("val", "test")}
        if len(made) == 1 and isinstance(sha256 := made.pop(), str):
            return KeptRun(folder, config.data, view, sha256)
    name = clean(str(folder))
    raise BadInput(f"{name}: no probabilities of val and test yet; run xray-engine nnunet predict --run {name} first")


def _index(folder: Path) -> dict[str, Any]:
    """What the index of a folder says; nothing where there is none of ours."""
    try:
        kept = json.loads((folder / INDEX).read_text("utf-8"))
        open_array(folder / ARRAY)
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(kept, dict):
        return {}
    if (reason := newer(kept.get("format"), FORMAT)) is not None:
        raise BadInput(f"{clean(str(folder / INDEX))}: {reason}")
    return kept if kept.get("format") == FORMAT else {}
