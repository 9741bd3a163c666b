"""Config model of the augmentations. Each augmentation is one function in engine/data/augment.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from engine.contract.base import Probability, Section


def _in_order(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError(f"from {span[0]:g} to {span[1]:g}; give the smaller number first")
    return span


MOST_GAMMA = 10.0
"""Largest exponent; the smallest is its inverse."""
_Exponent = Annotated[float, Field(ge=1 / MOST_GAMMA, le=MOST_GAMMA)]
Gamma = Annotated[tuple[_Exponent, _Exponent], AfterValidator(_in_order)]
Share = Annotated[tuple[Probability, Probability], AfterValidator(_in_order)]


class AugmentConfig(Section):
    """Random changes to training images. If all chances are 0, the images stay unchanged."""

    hflip: Probability = Field(0.5, description="chance of a horizontal flip")
    vflip: Probability = Field(0.0, description="chance of a vertical flip")
    rotate: float = Field(15.0, ge=0.0, le=180.0, description="rotation up to ± this, degrees")
    scale: float = Field(0.1, ge=0.0, le=0.9, description="zoom by up to ± this share")
    translate: float = Field(0.05, ge=0.0, le=0.5, description="shift by up to this share of the side")
    affine_chance: Probability = Field(1.0, description="chance of rotation, zoom and shift")
    brightness: float = Field(0.2, ge=0.0, le=1.0, description="brightness by up to ± this share")
    contrast: float = Field(0.2, ge=0.0, le=1.0, description="contrast by up to ± this share")
    intensity_chance: Probability = Field(1.0, description="chance of brightness and contrast")
    gamma: Gamma = Field((0.7, 1.45), description="exponent of the grey values, from and to")
    gamma_chance: Probability = Field(0.0, description="chance of a gamma change")
    autocontrast: Probability = Field(0.0, description="chance of stretching grey values to the full range")
    blur: Probability = Field(0.0, description="chance of a slight Gaussian blur")
    noise: float = Field(0.0, ge=0.0, le=0.5, description="largest sigma of Gaussian noise, of the full grey range")
    noise_chance: Probability = Field(1.0, description="chance of noise")
    cutout: Share = Field((0.08, 0.2), description="share of the image that a cutout blanks, from and to")
    cutout_chance: Probability = Field(0.0, description="chance of a cutout; the mask stays")
    positive_boost: float = Field(
        1.0,
        ge=1.0,
        le=3.0,
        description="strength of intensity and gamma on positives, as a multiple; 1: as on all",
    )
