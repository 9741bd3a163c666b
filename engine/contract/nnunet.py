"""Config of an nnU-Net run (`kind: nnunet`) and the options of its prediction and scoring."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from engine.contract.base import RunName, Section
from engine.contract.data import FOLD, FOLDS, MANIFEST, check_fold
from engine.contract.names import Presence

PLAIN_TRAINER = "nnUNetTrainer"

Epochs = Literal[1, 5, 10, 20, 50, 100, 250, 500, 750, 1000, 2000, 4000, 8000]
"""Numbers of epochs for which nnunetv2 has a trainer class; it supports no other number."""


class NnunetDataConfig(Section):
    """The data that are exported for nnU-Net."""

    manifest: str = MANIFEST
    image_size: int = Field(
        512, ge=32, le=4096, description="longer side of every exported image, pixels; nnU-Net treats a pixel as 1 mm"
    )
    negatives_per_positive: float | None = Field(
        1.0,
        ge=0.0,
        le=1000.0,
        description="negatives per positive to train on (nnU-Net draws uniformly); empty: all",
    )
    fold: int | None = FOLD
    folds: int = FOLDS

    @model_validator(mode="after")
    def _has_the_fold(self) -> NnunetDataConfig:
        check_fold(self.fold, self.folds)
        return self

    @property
    def nnunet_fold(self) -> int:
        """The fold's number in nnU-Net: the same number, or 0 for the published split."""
        return self.fold or 0


class NnunetTrainingConfig(Section):
    """The nnU-Net settings that can be chosen; nnU-Net decides the rest itself."""

    plans: Literal["default", "resenc_m", "resenc_l", "resenc_xl"] = Field(
        "default", description="planner: the plain U-Net, or a residual encoder for 8, 24 or 40 GB"
    )
    trainer: str = Field(PLAIN_TRAINER, pattern=r"^[A-Za-z_]\w{0,99}$", description="name of an nnunetv2 trainer class")
    epochs: Epochs | None = Field(
        1000, description="epochs of 250 steps, for nnUNetTrainer; empty: the default of the trainer class"
    )
    processes: int = Field(4, ge=1, le=64, description="processes for preprocessing and export")
    augment_processes: int | None = Field(
        None, ge=0, le=64, description="processes for augmentation; empty: none on a CPU, nnU-Net's default on a GPU"
    )
    compile: bool = Field(
        True, description="torch.compile on a GPU; never used on a CPU, where it fails for 2-D networks"
    )

    @model_validator(mode="after")
    def _trainer_has_epochs(self) -> NnunetTrainingConfig:
        if self.epochs is not None and self.trainer != PLAIN_TRAINER:
            raise ValueError(f"epochs needs trainer {PLAIN_TRAINER}; leave it empty for {self.trainer}")
        return self

    @property
    def trainer_class(self) -> str:
        """Name of the trainer class: nnUNetTrainer_250epochs for 250 epochs; nnUNetTrainer itself trains for 1000."""
        if self.epochs in (None, 1000):
            return self.trainer
        return f"{self.trainer}_{self.epochs}epoch{'' if self.epochs == 1 else 's'}"


class NnunetConfig(Section):
    """A recipe for nnU-Net's 2d configuration, with our split as its fold 0 or our folds as its folds."""

    kind: Literal["nnunet"] = "nnunet"
    name: RunName | None = Field(None, description="the run's name; empty: the file's")
    description: str = Field("", max_length=500, description="one line: what this recipe is")
    seed: int = Field(42, ge=0, le=2**32 - 1, description="seed for drawing negatives; nnU-Net itself has no seed")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA if available")
    data: NnunetDataConfig = Field(default_factory=NnunetDataConfig)
    training: NnunetTrainingConfig = Field(default_factory=NnunetTrainingConfig)


class PredictOptions(Section):
    """The options of a prediction with nnU-Net."""

    run: str = Field(..., min_length=1, description="the run folder")
    tta: Literal["mirror", "none"] = Field(
        "mirror", description="mirror: nnU-Net's own TTA, the mean over both mirrorings and their combination"
    )
    checkpoint: Literal["final", "best"] = Field(
        "best", description="best: the highest moving average of nnU-Net's pseudo Dice; final: the last epoch"
    )
    masks: bool = Field(False, description="masks only, without probabilities; a threshold cannot be tuned then")


class ScoreOptions(PredictOptions):
    """The options of `xray-engine nnunet score`."""

    threshold: Annotated[float, Field(gt=0.0, lt=1.0)] | Literal["tuned"] | None = Field(
        None, description="a number, or tuned: on validation; empty: tuned, or 0.5 with masks. nnU-Net's own is 0.5"
    )
    presence: Presence = Field(
        "auto", description="source of the presence score; auto: best on validation, or pred_area with masks"
    )
    gate: Annotated[float, Field(ge=0.0, le=1.0)] | Literal["none", "tuned"] = Field(
        "none", description="empty masks below this presence score; tuned: on validation"
    )
    bootstrap: int = Field(1000, ge=0, le=100_000, description="bootstrap resamples for each interval; 0: none")
