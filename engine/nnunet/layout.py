"""Paths: nnU-Net's three folders inside a run's checkpoints, and nnU-Net's names for files in them."""

from __future__ import annotations

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


class Layout:
    """The paths of one run. All are below `checkpoints`, where the board looks for no artifacts."""

    def __init__(self, run: Path, config: NnunetConfig) -> None:
        self.run, self.config = run, config
        root = run / names.CHECKPOINTS / "nnunet"
        self.raw, self.preprocessed, self.results = root / "raw", root / "preprocessed", root / "results"
        self.dataset = self.raw / DATASET
        self.folds = self.preprocessed / DATASET / FOLDS
        """As the trainer reads them, written last: their presence means that preprocessing is complete."""
        self.planner, self.plans = PLANNERS[config.training.plans]
        trained = f"{config.training.trainer_class}__{self.plans}__{CONFIGURATION}"
        self.trained = self.results / DATASET / trained / f"fold_{config.data.nnunet_fold}"
        """The trainer's output folder."""

    def checkpoint(self, which: str) -> Path:
        """final, latest or best."""
        return self.trained / f"checkpoint_{which}.pth"
