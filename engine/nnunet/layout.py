"""Where things lie: nnU-Net's three folders inside a run's checkpoints, and what it calls things in there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.contract import names
from engine.contract.nnunet import NnunetConfig

DATASET = "Dataset001_xray"
"""The name of a run's own dataset."""

CONFIGURATION = "2d"
FOLDS = "splits_final.json"
ENDING = ".png"
CHANNEL = "_0000"
"""Every file name of an image ends in its channel's number; we have one channel."""

PLANNERS = {
    "default": ("ExperimentPlanner", "nnUNetPlans"),
    "resenc_m": ("nnUNetPlannerResEncM", "nnUNetResEncUNetMPlans"),
    "resenc_l": ("nnUNetPlannerResEncL", "nnUNetResEncUNetLPlans"),
    "resenc_xl": ("nnUNetPlannerResEncXL", "nnUNetResEncUNetXLPlans"),
}
"""Each of the planners by our name: its class, and the plans that it writes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one run. Everything lies below `checkpoints`, where no board looks for artifacts."""

    run: Path
    config: NnunetConfig

    @property
    def root(self) -> Path:
        return self.run / names.CHECKPOINTS / "nnunet"

    @property
    def raw(self) -> Path:
        """nnUNet_raw."""
        return self.root / "raw"

    @property
    def preprocessed(self) -> Path:
        """nnUNet_preprocessed."""
        return self.root / "preprocessed"

    @property
    def results(self) -> Path:
        """nnUNet_results."""
        return self.root / "results"

    @property
    def dataset(self) -> Path:
        """The exported dataset."""
        return self.raw / DATASET

    @property
    def folds(self) -> Path:
        """The folds as the trainer reads them; we write them last, so that they also say: preprocessed to the end."""
        return self.preprocessed / DATASET / FOLDS

    @property
    def planner(self) -> str:
        return PLANNERS[self.config.training.plans][0]

    @property
    def plans(self) -> str:
        return PLANNERS[self.config.training.plans][1]

    @property
    def trained(self) -> Path:
        """What the trainer writes into."""
        trained = f"{self.config.training.trainer_class}__{self.plans}__{CONFIGURATION}"
        return self.results / DATASET / trained / f"fold_{self.config.data.nnunet_fold}"

    def checkpoint(self, which: str) -> Path:
        """final, latest or best."""
        return self.trained / f"checkpoint_{which}.pth"
