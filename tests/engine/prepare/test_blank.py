"""Images of one grey, or black because of their alpha channel, are findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.contract.errors import BadInput
from engine.data.images import read_image
from engine.prepare.prepare import Prepared, prepare

from .conftest import grey

SQUARE = (10, 8, 30, 20)
ALPHA = ": transparent pixels are read as black; save the image without its alpha channel"


@pytest.fixture
def source(folder: Callable[..., Path]) -> Path:
    return folder(
        {f"images/{name}.png": ord(name) for name in "abcdef"}, {"masks/a.png": SQUARE, "masks/b.png": SQUARE}
    )


def hidden(path: Path, alpha: int = 0) -> None:
    layer = Image.fromarray(grey(1))
    Image.merge("RGBA", (layer, layer, layer, Image.new("L", layer.size, alpha))).save(path)


def blank_lines(prepared: Prepared) -> list[str]:
    return [flaw.line for flaw in prepared.flaws if flaw.kind == "one grey"]


def test_negatives_without_a_picture_are_listed(source: Path, tmp_path: Path) -> None:
    hidden(source / "images/c.png")
    Image.fromarray(np.full((40, 64), 128, np.uint8)).save(source / "images/d.png")
    assert blank_lines(prepare(source, tmp_path / "out")) == [
        f"c: all pixels have grey 0{ALPHA}",
        "d: all pixels have grey 128",
    ]


def test_a_fracture_on_an_image_without_a_picture_is_lost(source: Path, tmp_path: Path) -> None:
    hidden(source / "images/a.png")
    with pytest.raises(BadInput) as caught:
        prepare(source, tmp_path / "out")
    line = f"a: all pixels have grey 0{ALPHA}; its mask shows a fracture"
    summary = "1 of 2 masks or annotations are lost or look inverted; at most 2% are accepted without --accept-losses"
    assert caught.value.lines == (line, summary)
    assert blank_lines(prepare(source, tmp_path / "out", accept_losses=True)) == [line]


def test_pictures_with_palettes_and_alpha_channels_are_composed(source: Path, tmp_path: Path) -> None:
    hidden(source / "images/c.png", alpha=255)
    palette = Image.fromarray(grey(2) // 2).convert("P")
    palette.putpalette([value for index in range(256) for value in (255 - index,) * 3])
    palette.save(source / "images/d.png")
    assert blank_lines(prepare(source, tmp_path / "out")) == []
    assert np.array_equal(read_image(source / "images/c.png"), grey(1))
    assert np.array_equal(read_image(source / "images/d.png"), 255 - grey(2) // 2)
