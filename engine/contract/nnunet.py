"""The config of an nnU-Net run (`kind: nnunet`) and the choices of its scoring, beside no torch and no nnU-Net."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from engine.contract.base import RunName, Section
from engine.contract.data import FOLD, FOLDS, MANIFEST, check_fold
from engine.contract.names import Presence

PLAIN_TRAINER = "nnUNetTrainer"

Epochs = Literal[1, 5, 10, 20, 50, 100, 250, 500, 750, 1000, 2000, 4000, 8000]
"""nnunetv2 has a trainer class for each of these, and no option for another number."""


class NnunetDataConfig(Section):
    """What is exported for nnU-Net."""

    manifest: str = MANIFEST
    image_size: int = Field(
        512,
        ge=32,
        le=4096,
        description="longer side of every exported image, pixels; nnU-Net takes any pixel as 1 mm",
    )
    negatives_per_positive: float | None = Field(
        1.0,
        ge=0.0,
        le=1000.0,
        description="negatives for each positive of the training split; empty: all. Cases are drawn uniformly",
    )
    fold: int | None = FOLD
    folds: int = FOLDS

    @model_validator(mode="after")
    def _has_the_fold(self) -> NnunetDataConfig:
        check_fold(self.fold, self.folds)
        return self

    @property
    def nnunet_fold(self) -> int:
        """nnU-Net's number of the fold: the same, and 0 for the published split."""
        return self.fold or 0


class NnunetTrainingConfig(Section):
    """What nnU-Net is told; everything else it decides by itself."""

    plans: Literal["default", "resenc_m", "resenc_l", "resenc_xl"] = Field(
        "default", description="its planner: the plain U-Net, or a residual encoder for 8, 24 or 40 GB"
    )
    trainer: str = Field(
        PLAIN_TRAINER, pattern=r"^[A-Za-z_]\w{0,99}$", description="a trainer class of nnunetv2, by its name"
    )
    epochs: Epochs | None = Field(
        1000, description="epochs of 250 steps, for nnUNetTrainer; empty: as the trainer class has it"
    )
    processes: int = Field(4, ge=1, le=64, description="processes that preprocess and export")
    augment_processes: int | None = Field(
        None, ge=0, le=64, description="processes that augment; empty: none on a CPU, as nnU-Net likes for a GPU"
    )
    compile: bool = Field(True, description="torch.compile on a GPU; never on a CPU, where it fails for 2-D networks")

    @model_validator(mode="after")
    def _trainer_has_epochs(self) -> NnunetTrainingConfig:
        if self.epochs is not None and self.trainer != PLAIN_TRAINER:
            raise ValueError(f"epochs goes with {PLAIN_TRAINER} alone; leave it empty: {self.trainer} has its own")
        return self

    @property
    def trainer_class(self) -> str:
        """The class that trains: nnUNetTrainer_250epochs for 250 epochs; nnUNetTrainer itself has 1000."""
        if self.epochs in (None, 1000):
            return self.trainer
        return f"{self.trainer}_{self.epochs}epoch{'' if self.epochs == 1 else 's'}"


class NnunetConfig(Section):
    """A recipe that nnU-Net trains: its 2d configuration on our split as its fold 0, or on a fold of ours."""

    kind: Literal["nnunet"] = "nnunet"
    name: RunName | None = Field(None, description="the run's name; empty: the file's")
    description: str = Field("", max_length=500, description="one line: what this recipe is")
    seed: int = Field(42, ge=0, le=2**32 - 1, description="of the negatives that are drawn; nnU-Net itself has no seed")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA where there is one")
    data: NnunetDataConfig = NnunetDataConfig()
    training: NnunetTrainingConfig = NnunetTrainingConfig()


class PredictOptions(Section):
    """The choices of `xray-engine nnunet predict`."""

    run: str = Field(..., min_length=1, description="the run folder")
    tta: Literal["mirror", "none"] = Field(
        "mirror", description="mirror: nnU-Net's own, the mean over both mirrorings and their combination"
    )
    checkpoint: Literal["final", "best"] = Field(
        "best", description="the weights with the best moving average of nnU-Net's pseudo Dice, or its last ones"
    )
    masks: bool = Field(False, description="masks alone, without probabilities: there is no threshold to tune then")


class ScoreOptions(PredictOptions):
    """The choices of `xray-engine nnunet score`."""

    threshold: Annotated[float, Field(gt=0.0, lt=1.0)] | Literal["tuned"] | None = Field(
        None, description="a number, or tuned: on validation; empty: tuned, or 0.5 with masks. nnU-Net's own is 0.5"
    )
    presence: Presence = Field(
        "auto", description="where the presence score comes from; auto: best on validation, or pred_area with masks"
    )
    gate: Annotated[float, Field(ge=0.0, le=1.0)] | Literal["none", "tuned"] = Field(
        "none", description="presence score under which a mask is emptied; tuned: on validation"
    )
    bootstrap: int = Field(1000, ge=0, le=100_000, description="resamples behind each interval; 0: none")
