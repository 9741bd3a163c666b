"""Config models of the training loop."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from engine.contract.base import Probability, Section

MEASURES = ("dice_pos", "iou_pos", "precision_pos", "recall_pos", "dice", "iou", "dice_pos_median",
            "precision_pos_mean", "recall_pos_mean", "missed_pos", "fp_area_neg", "roc_auc_presence",
            "average_precision_presence", "loss")  # fmt: skip
"""Metrics that validation computes during training, by which a checkpoint can be selected."""

_TERM = re.compile(r"(?:(\d+(?:\.\d+)?)\s*\*\s*)?([a-z_]+)")


def selection_terms(text: str) -> list[tuple[float, str]]:
    """The weighted sum in a selection metric: `dice_pos + 0.5 * roc_auc_presence` -> [(1.0, …), (0.5, …)].

    `joint` is dice_pos + roc_auc_presence. Raises ValueError for any other text.

    >>> selection_terms("joint")
    [(1.0, 'dice_pos'), (1.0, 'roc_auc_presence')]
    """
    terms = []
    for part in ("dice_pos + roc_auc_presence" if text.strip() == "joint" else text).split("+"):
        match = _TERM.fullmatch(part.strip())
        if match is None or match[2] not in MEASURES:
            known = ", ".join(MEASURES)
            raise ValueError(f"{part.strip()!r:.60} is no metric; give joint, one of {known}, or a weighted sum")
        terms.append((float(match[1] or 1), match[2]))
    return terms


def _is_selection(text: str) -> str:
    selection_terms(text)
    return text


Selection = Annotated[str, Field(max_length=300), AfterValidator(_is_selection)]
_SELECTION = "selects the best checkpoint: a validation metric, a sum such as a + 0.5 * b, or joint"


class TrainingConfig(Section):
    """Settings of the training loop and of the choice of the best checkpoint."""

    epochs: int = Field(20, ge=1, le=10_000, description="passes over the images")
    batch_size: int = Field(16, ge=1, le=4096, description="images per step")
    accumulate: int = Field(1, ge=1, le=1024, description="steps whose gradients are added up for one update")
    optimizer: Literal["adamw", "adam", "sgd"] = Field("adamw", description="sgd: with Nesterov momentum 0.9")
    lr: float = Field(3e-4, gt=0.0, le=10.0, description="highest learning rate")
    encoder_lr: float | None = Field(None, gt=0.0, le=10.0, description="learning rate of the encoder; empty: the same")
    layer_decay: float | None = Field(
        None, gt=0.0, lt=1.0, examples=[0.75],
        description="learning rate of each layer as a share of the next one's; empty: the same")  # fmt: skip
    weight_decay: float = Field(1e-2, ge=0.0, le=1.0, description="weight decay")
    schedule: Literal["cosine", "poly", "constant"] = Field("cosine", description="after the warm-up; poly: power 0.9")
    warmup_epochs: float = Field(1.0, ge=0.0, le=1000.0, description="linear warm-up, epochs")
    final_lr_ratio: Probability = Field(0.01, description="learning rate at the end, as a share of the highest")
    samples_per_epoch: int | None = Field(
        None, ge=1, le=10_000_000, examples=[2000],
        description="images per epoch; empty: the size of the training split")  # fmt: skip
    positive_share: float | None = Field(
        0.5, gt=0.0, lt=1.0, description="share of positives (balanced sampling); empty: each image once"
    )
    final_positive_share: float | None = Field(
        None, gt=0.0, lt=1.0, examples=[0.3],
        description="that share in the last epoch, reached linearly; empty: the same")  # fmt: skip
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: bf16 where the device supports it; fp16 needs CUDA"
    )
    channels_last: bool = Field(True, description="NHWC memory layout, which tensor cores and oneDNN prefer")
    compile: bool = Field(False, description="torch.compile the network: slower to start, faster after")
    grad_clip: float | None = Field(None, gt=0.0, le=1000.0, description="largest gradient norm; empty: no clipping")
    ema: float | None = Field(
        None, ge=0.5, lt=1.0, examples=[0.999],
        description="decay of the exponential moving average of the weights; empty: none")  # fmt: skip
    init_from: str | None = Field(
        None,
        min_length=1,
        max_length=4096,
        examples=["runs/plain_unet"],
        description="run folder or checkpoint with initial weights, instead of encoder_weights; {fold}: data.fold",
    )
    freeze_encoder_epochs: float = Field(0.0, ge=0.0, le=10_000.0, description="epochs in which the encoder is frozen")
    freeze_layers: int = Field(
        0, ge=0, le=1000, description="first layers of the encoder that are frozen for the whole training"
    )
    freeze_batch_norm: bool = Field(False, description="batch norm keeps its statistics and weights")
    early_stopping: int | None = Field(
        None, ge=1, le=10_000, examples=[10],
        description="end after this many epochs without a better checkpoint; empty: never")  # fmt: skip
    keep_best: int = Field(1, ge=1, le=50, description="number of best checkpoints to keep, for averaging")
    selection_metric: Selection = Field("dice_pos", description=_SELECTION)

    @model_validator(mode="after")
    def _has_a_first_share(self) -> Self:
        if self.final_positive_share is not None and self.positive_share is None:
            raise ValueError("final_positive_share: needs positive_share; give both")
        return self


class ClassifierTrainingConfig(TrainingConfig):
    """The same settings for a classifier, whose checkpoints cannot be selected by a mask metric."""

    selection_metric: Selection = Field("roc_auc_presence", description=_SELECTION)
