"""Polygons as masks: which pixels they cover, and which polygons are no polygons."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.prepare.annotations.draw import check_polygon, draw, draw_shapes
from engine.prepare.annotations.shapes import Drawing, Shape


def test_whole_pixels_are_covered_exactly() -> None:
    corners = np.array([[3, 2], [9, 2], [9, 7], [3, 7]], float)
    expected = np.zeros((12, 20), bool)
    expected[2:7, 3:9] = True
    assert np.array_equal(draw(corners, 12, 20), expected)


@pytest.mark.parametrize(("right", "last"), [(4.6, 4), (4.3, 3)])
def test_a_pixel_belongs_to_the_mask_from_half_of_it_on(right: float, last: int) -> None:
    row = draw(np.array([[2.0, 2], [right, 2], [right, 3], [2.0, 3]]), 6, 8)[2]
    assert np.flatnonzero(row).tolist() == list(range(2, last + 1))


@pytest.mark.parametrize("radius", [5.0, 20.0, 60.0])
def test_the_area_of_a_mask_is_that_of_its_polygon(radius: float) -> None:
    angles = np.linspace(0, 2 * np.pi, 31)[:-1]
    corners = np.stack([70.3 + radius * np.cos(angles), 71.7 + radius * np.sin(angles)], axis=1)
    assert draw(corners, 140, 140).sum() == pytest.approx(15 * radius**2 * math.sin(math.pi / 15), rel=0.04)


def test_polygons_are_united_and_cut_at_the_edge() -> None:
    squares = [0, 0, 4, 0, 4, 4, 0, 4], [2, 2, 30, 2, 30, 30, 2, 30]
    mask = draw_shapes(Drawing(tuple(Shape("polygon", corners) for corners in squares)), 8, 8, "a")[0]
    assert mask[0, 0]
    assert mask[7, 7]
    assert mask.sum() == 16 + 36 - 4


def test_a_sliver_does_not_vanish() -> None:
    assert draw(np.array([[2.0, 2.4], [9.0, 2.4], [9.0, 2.6]]), 6, 12)[2, 2:9].any()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([1, 1, 5, 5], "has 4 coordinates"),
        ([1, 1, 5, 5, 9, 2, 3], "has 7 coordinates"),
        ([1, 1, 5, 5, 9, 9], "no area"),
        ([1, 1, 5, math.nan, 9, 2], "not a list of numbers"),
        ([1, 1, 5, "\x1b[2J", 9, 2], "not a list of numbers"),
        ([1, 1, 5, 1e300, 9, 2], "not a list of numbers"),
        ("123456", "not a list of numbers"),
        (None, "not a list of numbers"),
        ([100, 1, 105, 5, 109, 2], "lies outside the 64 x 40 picture"),
    ],
)
def test_what_cannot_be_drawn_is_told(given: object, told: str) -> None:
    corners, flaw = check_polygon(given, 64, 40)
    assert corners is None
    assert flaw is not None
    assert told in flaw


def test_a_polygon_beyond_the_edge_is_kept_and_told() -> None:
    corners, flaw = check_polygon([50, 10, 70, 10, 70, 20, 50, 20], 64, 40)
    assert corners is not None
    assert flaw == "reaches beyond the 64 x 40 picture and was cut at its edge"
    assert check_polygon([50, 10, 64.3, 10, 64, 20, 50, 20], 64, 40)[1] is None
