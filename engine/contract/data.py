"""Config models of the data: which images to use, and how to prepare them for the network."""

from __future__ import annotations

from pydantic import Field, model_validator

from engine.contract.base import Probability, Section

MANIFEST = Field("data/manifest.csv", min_length=1, description="CSV with id, image, mask, fractured, split")
FOLD = Field(
    None, ge=0, le=99, examples=[0],
    description="validation fold, with train and val divided into folds; empty: the published split")  # fmt: skip
FOLDS = Field(5, ge=2, le=100, description="number of folds; used with fold")


def check_fold(fold: int | None, folds: int) -> None:
    """Raises ValueError if `fold` is not in 0 … `folds` - 1."""
    if fold is not None and fold >= folds:
        raise ValueError(f"fold: expected 0 to {folds - 1}, got {fold}")


class PatchConfig(Section):
    """Training on square pieces of the images at `image_size`; validation and evaluation see whole images."""

    size: int = Field(256, ge=32, le=2048, multiple_of=32, description="side of a patch, pixels at image_size")
    on_positive: Probability = Field(0.85, description="chance that a patch of a positive image contains its fracture")
    on_hard_negative: Probability = Field(0.35, description="chance that any other patch lies on a strong edge")


class DataConfig(Section):
    """The images, and how they are prepared for the network."""

    manifest: str = MANIFEST
    image_size: int = Field(256, ge=32, le=2048, multiple_of=32, description="side of the network's input, pixels")
    keep_aspect: bool = Field(False, description="fit into the square and pad, instead of stretching")
    workers: int | None = Field(
        None, ge=0, le=64, examples=[4],
        description="loader processes; empty: none on a CPU, up to 8 for a GPU")  # fmt: skip
    cache: bool = Field(True, description="keep decoded, resized images in one memory-mapped file beside the manifest")
    fold: int | None = FOLD
    folds: int = FOLDS
    patch: PatchConfig | None = Field(None, description="train on patches; empty: on whole images")

    @model_validator(mode="after")
    def _fits(self) -> DataConfig:
        check_fold(self.fold, self.folds)
        if self.patch is not None and self.patch.size > self.image_size:
            raise ValueError(f"patch.size: {self.patch.size} is larger than image_size {self.image_size}")
        return self
