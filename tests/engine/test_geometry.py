"""Sizes: to the network's square and back."""

from __future__ import annotations

import numpy as np
import pytest

from engine.data.resize import content_size, image_to_input, mask_to_input, to_native


@pytest.mark.parametrize("keep_aspect", [False, True])
def test_a_smooth_map_survives_the_way_there_and_back(keep_aspect: bool) -> None:
    rows, columns = np.mgrid[0:90, 0:150]
    image = (rows + columns).astype(np.uint8)
    there = image_to_input(image, 64, keep_aspect)
    assert there.shape == (64, 64)
    height, width = content_size(90, 150, 64, keep_aspect)
    back = to_native((there[:height, :width] / 255).astype(np.float32), 90, 150)
    inner = (slice(6, -6), slice(6, -6))
    assert np.abs(back[inner] * 255 - image[inner]).max() < 4


def test_keeping_the_aspect_pads_below_and_right_with_black() -> None:
    square = image_to_input(np.full((50, 100), 200, np.uint8), 64, keep_aspect=True)
    assert square[:32].min() == 200
    assert square[32:].max() == 0


def test_the_finest_mask_never_becomes_empty() -> None:
    mask = np.zeros((2000, 1500), bool)
    mask[1999, 1499] = True
    for keep_aspect in (False, True):
        assert mask_to_input(mask, 64, keep_aspect).sum() == 1


def test_an_empty_mask_stays_empty() -> None:
    assert not mask_to_input(np.zeros((200, 100), bool), 64, keep_aspect=False).any()
