"""Small sources of radiographs, made anew for each test."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

Square = tuple[int, int, int, int]  # left, top, right, bottom


def grey(number: int, height: int = 40, width: int = 64) -> np.ndarray:
    """A picture of its own for each number."""
    return np.random.default_rng(number).integers(0, 255, (height, width)).astype(np.uint8)


def save_image(path: Path, number: int, *, height: int = 40, width: int = 64, orientation: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(grey(number, height, width)).save(path, exif=exif)
    return path


def save_mask(path: Path, square: Square | None, *, height: int = 40, width: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((height, width), np.uint8)
    if square:
        left, top, right, bottom = square
        mask[top:bottom, left:right] = 255
    Image.fromarray(mask).save(path)
    return path


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


class TinyFracAtlas:
    """A folder in FracAtlas's layout; `add` what it holds, then `write`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, object]] = []
        self.images: list[dict[str, object]] = []
        self.annotations: list[dict[str, object]] = []

    def add(
        self,
        name: str,
        *,
        fractured: bool = False,
        polygons: Sequence[object] = (),
        place: str | None = None,
        number: int | None = None,
        size: tuple[int, int] = (64, 40),
        annotated_size: tuple[int, int] | None = None,
        orientation: int = 1,
    ) -> Path:
        """An image of `size` (width, height, as stored), its row, and its polygons drawn on `annotated_size`."""
        place = place or ("Fractured" if fractured else "Non_fractured")
        path = self.folder / "images" / place / f"{name}.jpg"
        picture = len(self.rows) if number is None else number
        save_image(path, picture, height=size[1], width=size[0], orientation=orientation)
        self.rows.append({"image_id": path.name, "hardware": 0, "fractured": int(fractured)})
        if polygons:
            width, height = annotated_size or size
            key = len(self.images) + 1
            self.images.append({"id": key, "width": width, "height": height, "file_name": path.name})
            for polygon in polygons:
                self.annotations.append({"id": len(self.annotations), "image_id": key, "segmentation": [polygon]})
        return path

    def write(self) -> Path:
        write_csv(self.folder / "dataset.csv", self.rows)
        coco = self.folder / "Annotations" / "COCO JSON" / "COCO_fracture_masks.json"
        coco.parent.mkdir(parents=True, exist_ok=True)
        coco.write_text(json.dumps({"images": self.images, "annotations": self.annotations, "categories": []}))
        return self.folder


def corners(square: Square) -> list[float]:
    """The square as a COCO polygon."""
    left, top, right, bottom = square
    return [left, top, right, top, right, bottom, left, bottom]


@pytest.fixture
def fracatlas(tmp_path: Path) -> TinyFracAtlas:
    return TinyFracAtlas(tmp_path / "atlas")


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of images and masks: `folder(images={"images/a.png": 1}, masks={"masks/a.png": (1, 1, 9, 9)})`."""

    def make(images: Mapping[str, int], masks: Mapping[str, Square | None] = {}) -> Path:
        for name, number in images.items():
            save_image(tmp_path / "source" / name, number)
        for name, square in masks.items():
            save_mask(tmp_path / "source" / name, square)
        return tmp_path / "source"

    return make
