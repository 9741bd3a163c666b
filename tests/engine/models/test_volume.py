"""The slices of pseudo-volumes, as values."""

from __future__ import annotations

import pytest
import torch

from engine.contract.models import Volume
from engine.models.swin3d import detail, pseudo_volume, sharpened, smooth


def point(row: int, column: int, size: int = 21) -> torch.Tensor:
    """One bright pixel."""
    image = torch.zeros(1, 3, size, size)
    image[..., row, column] = 1.0
    return image


@pytest.mark.parametrize("size", [3, 5, 7, 9])
def test_smoothing_spreads_a_point_evenly_over_its_square(size: int) -> None:
    expected = torch.zeros(21, 21)
    reach = size // 2
    expected[10 - reach : 11 + reach, 10 - reach : 11 + reach] = 1 / size**2
    torch.testing.assert_close(smooth(point(10, 10), size)[0, 0], expected)


def test_at_the_edge_smoothing_is_the_mean_of_the_pixels_that_there_are() -> None:
    corner = smooth(point(0, 0), 3)[0, 0]
    torch.testing.assert_close(corner[:3, :3], torch.tensor([[1 / 4, 1 / 6, 0], [1 / 6, 1 / 9, 0], [0, 0, 0]]))
    assert smooth(torch.ones(1, 3, 5, 5), 9).allclose(torch.ones(1, 3, 5, 5))


def test_sharpening_and_detail_add_and_keep_what_smoothing_takes_away() -> None:
    image = point(10, 10)
    assert sharpened(image)[0, 0, 10, 10] == pytest.approx(2 - 1 / 9)
    assert sharpened(image)[0, 0, 10, 11] == pytest.approx(-1 / 9)
    assert detail(image)[0, 0, 10, 10] == pytest.approx(1 - 1 / 49)
    assert detail(torch.full((1, 3, 9, 9), 0.4)).abs().max() < 1e-6


SLICES: dict[tuple[Volume, int], list[str]] = {
    ("repeat", 1): ["image"],
    ("repeat", 4): ["image"] * 4,
    ("pyramid", 1): ["image"],
    ("pyramid", 2): ["smooth 3", "image"],
    ("pyramid", 5): ["smooth 9", "smooth 7", "smooth 5", "smooth 3", "image"],
    ("dnp_plus", 1): ["image"],
    ("dnp_plus", 2): ["smooth 3", "image"],
    ("dnp_plus", 3): ["smooth 3", "image", "sharpened"],
    ("dnp_plus", 4): ["smooth 7", "smooth 3", "image", "sharpened"],
    ("dnp_plus", 5): ["smooth 7", "smooth 3", "image", "sharpened", "detail"],
}


def looks(image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Each slice by its name."""
    smoothed = {f"smooth {size}": smooth(image, size) for size in (3, 5, 7, 9)}
    return {"image": image, "sharpened": sharpened(image), "detail": detail(image), **smoothed}


@pytest.mark.parametrize(("kind", "depth"), SLICES)
def test_a_smaller_depth_takes_the_slices_around_the_image_and_an_odd_one_its_last_twice(
    kind: Volume, depth: int
) -> None:
    image = torch.rand(2, 1, 12, 12).expand(-1, 3, -1, -1)
    names = SLICES[kind, depth]
    expected = [looks(image)[name] for name in [*names, names[-1]][: depth + depth % 2]]
    assert torch.equal(pseudo_volume(image, kind, depth), torch.stack(expected, 2))


def test_rgb_gives_each_slice_its_neighbours_as_channels() -> None:
    image = torch.rand(1, 1, 12, 12).expand(-1, 3, -1, -1)
    look = {name: plane[:, 0] for name, plane in looks(image).items()}
    volume = pseudo_volume(image, "dnp_plus", 3, rgb=True)
    assert volume.shape == (1, 3, 4, 12, 12)
    for place, names in enumerate(
        [
            ("smooth 3", "smooth 3", "image"),
            ("smooth 3", "image", "sharpened"),
            ("image", "sharpened", "sharpened"),
            ("image", "sharpened", "sharpened"),
        ]
    ):
        assert torch.equal(volume[:, :, place], torch.stack([look[name] for name in names], 1))


def test_normalising_after_the_smoothing_gives_the_same_slices() -> None:
    image = torch.rand(1, 1, 16, 16).expand(-1, 3, -1, -1)
    before = pseudo_volume((image - 0.4) / 0.2, "dnp_plus", 4)
    after = (pseudo_volume(image, "dnp_plus", 4) - 0.4) / 0.2
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-4)
