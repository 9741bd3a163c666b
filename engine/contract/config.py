"""Config models: every key of a recipe with its bounds, its unit and its meaning. Forms are generated from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import Field, model_validator

from engine.contract.augment import AugmentConfig
from engine.contract.base import RunName, Section
from engine.contract.data import DataConfig
from engine.contract.losses import ClassifierLossConfig, LossConfig
from engine.contract.models import SegmenterConfig, SmpConfig, TimmClassifierConfig
from engine.contract.names import Presence, PresenceSource, Tta
from engine.contract.nnunet import NnunetConfig
from engine.contract.training import ClassifierTrainingConfig, TrainingConfig, selection_terms

_NAME = Field(None, description="the run's name; empty: the file's")
_DESCRIPTION = Field("", max_length=500, description="one line: what this recipe is")
_SEED = Field(42, ge=0, le=2**32 - 1, description="seed of all random numbers")
_DEVICE: Any = Field("auto", description="auto: CUDA if available")


class TrainConfig(Section):
    """A recipe for one segmentation network."""

    kind: Literal["train"] = "train"
    name: RunName | None = _NAME
    description: str = _DESCRIPTION
    seed: int = _SEED
    device: Literal["auto", "cpu", "cuda"] = _DEVICE
    data: DataConfig = Field(default_factory=DataConfig)
    model: SegmenterConfig = Field(default_factory=SmpConfig)
    loss: LossConfig = Field(default_factory=LossConfig)
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)


class ClassifierConfig(Section):
    """A recipe for a stand-alone classifier: a presence score and no mask."""

    kind: Literal["classifier"] = "classifier"
    name: RunName | None = _NAME
    description: str = _DESCRIPTION
    seed: int = _SEED
    device: Literal["auto", "cpu", "cuda"] = _DEVICE
    data: DataConfig = Field(default_factory=DataConfig)
    model: TimmClassifierConfig = Field(default_factory=TimmClassifierConfig)
    loss: ClassifierLossConfig = Field(default_factory=ClassifierLossConfig)
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    training: ClassifierTrainingConfig = Field(default_factory=ClassifierTrainingConfig)

    @model_validator(mode="after")
    def _has_no_mask(self) -> ClassifierConfig:
        for _, measure in selection_terms(self.training.selection_metric):
            if measure not in ("roc_auc_presence", "average_precision_presence", "loss"):
                raise ValueError(f"training.selection_metric: {measure} needs a mask; give roc_auc_presence")
        return self


class BlendConfig(Section):
    """A blend: its members, and the grid that is searched on validation."""

    kind: Literal["blend"] = "blend"
    name: RunName | None = Field(None, description="the run's name; empty: made from members")
    description: str = Field("", max_length=500, description="one line: what this blend is")
    members: tuple[str, ...] = Field((), max_length=16, description="run folders, two or more")
    tta: Tta = Field("auto", description="TTA: views to average; auto: the members' common flips")
    presence_run: str | None = Field(
        None, min_length=1, max_length=4096, description="a run whose presence score is mixed in; empty: none"
    )
    gamma_step: float = Field(0.1, ge=0.01, le=0.5, description="step of the grid of gamma, the share of that run")
    weight_step: float = Field(0.1, ge=0.01, le=0.5, description="step of the grid of segmentation weights")
    threshold_step: float = Field(0.01, ge=0.005, le=0.2, description="step of the grid of thresholds")
    presence_sources: tuple[PresenceSource, ...] = Field(
        ("cls", "max", "topk_mean", "pred_area"), min_length=1, description="presence sources to try"
    )
    objective: Literal["joint", "dice_pos", "roc_auc_presence"] = Field(
        "joint", description="metric maximised on validation; joint: dice_pos + roc_auc_presence"
    )
    bootstrap: int = Field(1000, ge=0, le=100_000, description="bootstrap resamples for each interval; 0: none")
    seed: int = Field(42, ge=0, le=2**32 - 1, description="seed of the bootstrap")


class EvaluateOptions(Section):
    """The options of `xray-engine evaluate`, as a model from which a form is generated."""

    run: str = Field(..., min_length=1, description="the run folder")
    tta: Tta = Field("auto", description="TTA: views to average; auto: the flips of the training")
    threshold: Annotated[float, Field(gt=0.0, lt=1.0)] | Literal["tuned"] = Field(
        "tuned", description="a number between 0 and 1, or tuned: on validation"
    )
    presence: Presence = Field(
        "auto",
        description="source of the presence score; auto: the second head, else the one that map_presence trained, "
        "else the best on validation",
    )
    gate: Annotated[float, Field(ge=0.0, le=1.0)] | Literal["none", "tuned"] = Field(
        "none", description="empty masks below this presence score; tuned: on validation"
    )
    checkpoint: Literal["best", "last"] = Field("best", description="checkpoint")
    batch_size: int = Field(16, ge=1, le=4096, description="images per step")
    bootstrap: int = Field(1000, ge=0, le=100_000, description="bootstrap resamples for each interval; 0: none")


Config: TypeAlias = TrainConfig | ClassifierConfig | BlendConfig | NnunetConfig
LearnConfig: TypeAlias = TrainConfig | ClassifierConfig
"""A config for the training loop."""
KINDS: dict[str, type[Config]] = {model.model_fields["kind"].default: model for model in get_args(Config)}
"""The model of each kind of config."""
