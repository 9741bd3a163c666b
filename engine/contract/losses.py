"""Config models of the training losses. Each term is one function in engine/training/losses.py."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.contract.base import Probability, Section, Weight


class FocalLoss(Section):
    """Focal loss (Lin et al. 2017): a BCE in which well-classified pixels count less."""

    weight: Weight = Field(1.0, description="weight of the term")
    gamma: float = Field(2.0, ge=0.0, le=10.0, description="how much less they count; 0: plain BCE")
    alpha: Probability | None = Field(None, description="weight of fracture pixels, the others' is 1 - alpha; empty: 1")


class FocalTverskyLoss(Section):
    """(1 - Tversky)^gamma (Abraham and Khan 2019), per image, on positives only."""

    weight: Weight = Field(1.0, description="weight of the term")
    alpha: Probability = Field(0.3, description="weight of false positives")
    beta: Probability = Field(0.7, description="weight of false negatives")
    gamma: float = Field(0.75, gt=0.0, le=10.0, description="exponent")


class MapPresenceLoss(Section):
    """A presence BCE on the logit map, for networks without a second head."""

    weight: Weight = Field(0.25, description="weight of the term")
    source: Literal["max", "topk_mean"] = Field("max", description="the image's logit: the largest, or top 1 % mean")


class LossConfig(Section):
    """The loss of a segmentation network: a weighted sum of terms."""

    bce: Weight = Field(0.3, description="weight of the pixel BCE")
    bce_on: Literal["all", "positives"] = Field("all", description="images on which the pixel BCE is computed")
    dice: Weight = Field(0.7, description="weight of the soft Dice loss, per image, on positives only")
    pos_weight: float = Field(3.0, gt=0.0, le=1000.0, description="weight of fracture pixels inside the BCE")
    empty_bce: Weight = Field(0.0, description="weight of the pixel BCE on images without a fracture")
    presence: Weight = Field(0.35, description="weight of the presence BCE; needs the second head")
    presence_ramp_epochs: float = Field(
        0.0, ge=0.0, le=1000.0, description="epochs over which the presence weights grow from 0"
    )
    focal: FocalLoss | None = Field(None, description="empty: none")
    focal_tversky: FocalTverskyLoss | None = Field(None, description="empty: none")
    map_presence: MapPresenceLoss | None = Field(None, description="empty: none")


class ClassifierLossConfig(Section):
    """The presence BCE of a classifier."""

    pos_weight: float = Field(1.0, gt=0.0, le=1000.0, description="weight of images with a fracture")
    label_smoothing: float = Field(0.0, ge=0.0, lt=0.5, description="how far labels are moved towards one half")
