"""Eight images of 64 x 40 pixels, a0.png to a7.png, for annotations of other tools."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ..conftest import save_image

FIXTURES = Path(__file__).parent / "fixtures"
SQUARE = [10, 8, 30, 8, 30, 20, 10, 20]
"""240 pixels: columns 10 to 29, rows 8 to 19."""


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of the eight images and of files: `source("datumaro_coco")`, `source({"a.json": {…}})`."""

    def make(files: str | Mapping[str, object], images: str = "images", suffix: str = ".png") -> Path:
        folder = tmp_path / "source"
        for number in range(8):
            save_image(folder / images / f"a{number}{suffix}", number)
        if isinstance(files, str):
            shutil.copytree(FIXTURES / files, folder, dirs_exist_ok=True)
            return folder
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return folder

    return make


def coco(*annotations: Mapping[str, object], **more: object) -> dict[str, object]:
    """A COCO document of the eight images, numbered from 0."""
    images = [{"id": i, "file_name": f"a{i}.png", "width": 64, "height": 40} for i in range(8)]
    return {"images": images, "annotations": list(annotations), **more}


def annotation(image: object, segmentation: object, **more: object) -> dict[str, object]:
    return {"image_id": image, "segmentation": segmentation, **more}
