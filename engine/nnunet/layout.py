"""Paths: nnU-Net's three folders inside a run's checkpoints, and nnU-Net's names for files in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.contract import names
from engine.contract.nnunet import NnunetConfig

DATASET = "Dataset001_xray"
"""Name of a run's dataset."""

CONFIGURATION = "2d"
FOLDS = "splits_final.json"
ENDING = ".png"
CHANNEL = "_0000"
"""Suffix of image names: the number of the channel, of which there is one."""

PLANNERS = {
    "default": ("ExperimentPlanner", "nnUNetPlans"),
    "resenc_m": ("nnUNetPlannerResEncM", "nnUNetResEncUNetMPlans"),
    "resenc_l": ("nnUNetPlannerResEncL", "nnUNetResEncUNetLPlans"),
    "resenc_xl": ("nnUNetPlannerResEncXL", "nnUNetResEncUNetXLPlans"),
}
"""Our name of a planner -> (its class, its plans)."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one run. All are below `checkpoints`, where the board looks for no artifacts."""

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
        """The folds as the trainer reads them, written last: their presence means that preprocessing is complete."""
        return self.preprocessed / DATASET / FOLDS

    @property
    def planner(self) -> str:
        return PLANNERS[self.config.training.plans][0]

    @property
    def plans(self) -> str:
        return PLANNERS[self.config.training.plans][1]

    @property
    def trained(self) -> Path:
        """The trainer's output folder."""
        trained = f"{self.config.training.trainer_class}__{self.plans}__{CONFIGURATION}"
        return self.results / DATASET / trained / f"fold_{self.config.data.nnunet_fold}"

    def checkpoint(self, which: str) -> Path:
        """final, latest or best."""
        return self.trained / f"checkpoint_{which}.pth"
