"""Augmentations by their values, on whole batches."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from engine.contract.augment import AugmentConfig
from engine.data import augment as augmentations
from engine.data.augment import AUGMENTATIONS, NUMBERS, Draws, augment
from engine.data.batches import Batch, on_device

from ..fake_cuda import fake_cuda

NOTHING: dict[str, Any] = {
    "hflip": 0.0, "vflip": 0.0, "affine_chance": 0.0, "intensity_chance": 0.0, "gamma_chance": 0.0, "autocontrast": 0.0,
    "blur": 0.0, "noise_chance": 0.0, "cutout_chance": 0.0,
}  # fmt: skip
EVERYTHING: dict[str, Any] = {
    "hflip": 0.5, "vflip": 0.5, "rotate": 180.0, "scale": 0.9, "translate": 0.5, "brightness": 1.0, "contrast": 1.0,
    "gamma": (0.1, 10.0), "gamma_chance": 0.7, "autocontrast": 0.5, "blur": 0.5, "noise": 0.5, "noise_chance": 0.7,
    "cutout": (0.0, 1.0), "cutout_chance": 0.7, "positive_boost": 3.0,
}  # fmt: skip
ALONE: list[dict[str, Any]] = [
    {"hflip": 1.0}, {"vflip": 1.0}, {"affine_chance": 1.0}, {"intensity_chance": 1.0}, {"gamma_chance": 1.0},
    {"autocontrast": 1.0}, {"blur": 1.0}, {"noise_chance": 1.0, "noise": 0.1}, {"cutout_chance": 1.0},
]  # fmt: skip


def only(**chances: Any) -> AugmentConfig:
    return AugmentConfig(**{**NOTHING, **chances})


def pictures(count: int, side: int = 64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Smooth images between 0.2 and 0.8, a square fracture in every other one, and which these are."""
    steps = torch.linspace(0, 6, side)
    images = 0.5 + 0.15 * (steps.sin()[:, None] + steps.cos()[None, :]).expand(count, 1, side, side)
    fractured = (torch.arange(count) % 2 == 0).float()
    masks = torch.zeros(count, 1, side, side)
    masks[::2, :, side // 4 : side // 2, side // 8 : side // 3] = 1
    return images.contiguous(), masks, fractured


def numbers(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, NUMBERS, generator=torch.Generator().manual_seed(seed))


def drawn(*columns: float, boost: float = 1.0) -> Draws:
    """The given random numbers for one image."""
    return Draws(torch.tensor([columns]), torch.tensor([boost]))


def test_a_shift_moves_image_and_mask_by_the_same_pixels() -> None:
    images, masks, _ = pictures(1)
    config = AugmentConfig(rotate=30, scale=0.2, translate=0.25)
    right = augmentations.rotate_zoom_and_shift(images, masks, drawn(0.5, 0.5, 1.0, 0.5), config)
    assert torch.equal(right[1][..., 16:], masks[..., :-16])
    assert torch.allclose(right[0][..., 16:], images[..., :-16], atol=1e-5)
    assert right[0][..., :16].max() == 0
    assert right[1][..., :16].max() == 0
    down = augmentations.rotate_zoom_and_shift(images, masks, drawn(0.5, 0.5, 0.5, 1.0), config)
    assert torch.equal(down[1][..., 16:, :], masks[..., :-16, :])
    assert torch.allclose(down[0][..., 16:, :], images[..., :-16, :], atol=1e-5)


def test_a_quarter_turn_turns_image_and_mask_alike() -> None:
    images, masks, _ = pictures(1)
    turned = augmentations.rotate_zoom_and_shift(images, masks, drawn(1.0, 0.5, 0.5, 0.5), AugmentConfig(rotate=90))
    assert torch.allclose(turned[0], torch.rot90(images, -1, (2, 3)), atol=1e-5)
    assert torch.equal(turned[1], torch.rot90(masks, -1, (2, 3)))


def test_a_zoom_enlarges_by_its_share_about_the_centre() -> None:
    masks = torch.zeros(1, 1, 64, 64)
    masks[..., 24:40, 24:40] = 1
    config = AugmentConfig(rotate=0, scale=0.5, translate=0)
    larger = augmentations.rotate_zoom_and_shift(masks, masks, drawn(0.5, 1.0, 0.5, 0.5), config)
    assert larger[1].sum() == 24 * 24
    assert larger[1][..., 20:44, 20:44].min() == 1
    smaller = augmentations.rotate_zoom_and_shift(masks, masks, drawn(0.5, 0.0, 0.5, 0.5), config)
    assert smaller[1].sum() == 8 * 8
    assert smaller[0].sum() == pytest.approx(64, abs=1)


def test_flips_are_exact() -> None:
    images, masks, fractured = pictures(3)
    flipped = augment(images, masks, fractured, numbers(3), only(hflip=1.0, vflip=1.0))
    assert torch.equal(flipped[0], images.flip(2, 3))
    assert torch.equal(flipped[1], masks.flip(2, 3))


def test_chances_at_zero_and_strengths_at_zero_change_nothing() -> None:
    images, masks, fractured = pictures(6)
    still = AugmentConfig(hflip=0, rotate=0, scale=0, translate=0, brightness=0, contrast=0, noise=0, noise_chance=1)
    for config in (only(), still):
        changed = augment(images, masks, fractured, numbers(6), config)
        assert torch.equal(changed[0], images)
        assert torch.equal(changed[1], masks)


@pytest.mark.parametrize("chances", ALONE, ids=lambda chances: next(iter(chances)))
def test_a_chance_of_one_changes_every_image_and_a_third_a_third(chances: dict[str, Any]) -> None:
    count = 600
    images, masks, fractured = pictures(count, 32)
    name = next(iter(chances))
    every = augment(images, masks, fractured, numbers(count), only(**chances))[0]
    assert (every != images).flatten(1).any(1).all()
    some = augment(images, masks, fractured, numbers(count), only(**{**chances, name: 1 / 3}))[0]
    chosen = (some != images).flatten(1).any(1)
    assert abs(float(chosen.float().mean()) - 1 / 3) < 0.06
    assert torch.allclose(some[chosen], every[chosen], atol=1e-6), "who is chosen does not change what happens to it"


@pytest.mark.parametrize("chances", ALONE[3:], ids=lambda chances: next(iter(chances)))
def test_changes_of_grey_values_leave_the_mask(chances: dict[str, Any]) -> None:
    images, masks, fractured = pictures(8)
    assert torch.equal(augment(images, masks, fractured, numbers(8), only(**chances))[1], masks)


def test_whatever_is_asked_for_grey_values_stay_between_0_and_1_and_masks_0_or_1() -> None:
    _, masks, fractured = pictures(64)
    images = torch.rand(64, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    images[0], images[1] = 0.0, 1.0
    changed, moved = augment(images, masks, fractured, numbers(64), AugmentConfig(**EVERYTHING))
    assert changed.isfinite().all()
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert set(moved.unique().tolist()) == {0.0, 1.0}


def test_an_image_gets_the_same_in_every_batch_and_order() -> None:
    images, masks, fractured = pictures(12)
    config, own = AugmentConfig(**EVERYTHING), numbers(12)
    whole = augment(images, masks, fractured, own, config)
    for places in ([5], [11, 3], list(range(11, -1, -1))):
        part = augment(images[places], masks[places], fractured[places], own[places], config)
        assert torch.allclose(part[0], whole[0][places], atol=1e-5)
        assert torch.equal(part[1], whole[1][places])


def test_brightness_is_a_factor_and_contrast_one_of_the_distance_from_the_mean() -> None:
    images = torch.tensor([0.2, 0.4]).repeat_interleave(8).view(1, 1, 4, 4)
    config = AugmentConfig(brightness=0.5, contrast=0.5)
    brighter = augmentations.change_brightness_and_contrast(images, drawn(1.0, 0.5), config)
    assert torch.allclose(brighter, images * 1.5)
    flatter = augmentations.change_brightness_and_contrast(images, drawn(0.5, 0.0), config)
    assert torch.allclose(flatter, 0.3 + (images - 0.3) * 0.5)


def test_positives_get_a_stronger_intensity_by_the_boost_and_not_beyond_the_limit() -> None:
    draws = Draws(torch.ones(3, 1), torch.tensor([1.0, 2.0, 3.0]))
    assert draws.boosted(0, 0.2, 1.0).flatten().tolist() == pytest.approx([0.2, 0.4, 0.6])
    assert draws.boosted(0, 0.4, 0.9).flatten().tolist() == pytest.approx([0.4, 0.8, 0.9])


def test_the_boost_reaches_images_with_a_fracture_alone() -> None:
    images, masks, fractured = pictures(40)
    for chances in ({"intensity_chance": 1.0}, {"gamma_chance": 1.0}):
        plain, boosted = (
            augment(images, masks, fractured, numbers(40), only(**chances, positive_boost=boost))[0]
            for boost in (1.0, 2.0)
        )
        differs = (plain != boosted).flatten(1).any(1)
        assert torch.equal(differs, fractured > 0)
        strength = [(changed - images).abs().mean((1, 2, 3))[fractured > 0].mean() for changed in (plain, boosted)]
        assert strength[1] > 1.4 * strength[0]


def test_the_black_border_does_not_reveal_the_label_under_a_boost() -> None:
    from sklearn.metrics import roc_auc_score

    count = 4000
    images = torch.full((count, 1, 32, 32), 0.5)
    fractured = (torch.arange(count) % 2 == 0).float()
    strong = {"rotate": 15.0, "scale": 0.15, "translate": 0.08, "gamma_chance": 0.3, "positive_boost": 3.0}
    changed, _ = augment(images, torch.zeros_like(images), fractured, numbers(count), AugmentConfig(**strong))
    border = (changed == 0).flatten(1).sum(1)
    assert border.float().std() > 10
    assert 0.45 < roc_auc_score(fractured, border) < 0.55


def test_gamma_is_within_its_range_and_as_often_below_one_as_above() -> None:
    halves = torch.full((400, 1, 2, 2), 0.5)
    changed = augment(halves, halves, torch.zeros(400), numbers(400), only(gamma_chance=1.0, gamma=(0.5, 2.0)))[0]
    exponents = -changed[:, 0, 0, 0].log2()
    assert 0.5 <= exponents.min() < 0.55
    assert 1.8 < exponents.max() <= 2.0
    assert abs(float((exponents < 1).float().mean()) - 0.5) < 0.06


def test_the_gamma_of_positives_reaches_further_in_the_logarithm_and_not_beyond_the_limit() -> None:
    ends = Draws(torch.tensor([[0.0], [1.0]]).repeat(2, 1), torch.tensor([1.0, 1.0, 2.0, 2.0]))
    assert ends.log_boosted(0, 0.5, 2.0, 10.0).flatten().tolist() == pytest.approx([0.5, 2.0, 0.25, 4.0])
    assert ends.log_boosted(0, 0.5, 5.0, 10.0)[-1].item() == pytest.approx(10.0)
    assert ends.log_boosted(0, 0.1, 0.5, 10.0)[2].item() == pytest.approx(0.1)
    assert ends.log_boosted(0, 1.0, 1.0, 10.0).flatten().tolist() == [1.0] * 4


@pytest.mark.parametrize("gamma", [(0.7, 1.45), (0.1, 10.0), (1.2, 1.5), (1.0, 1.0)])
def test_without_a_boost_gamma_is_the_same_bit_for_bit(gamma: tuple[float, float]) -> None:
    draws = Draws(torch.cat([torch.tensor([[0.0], [1.0]]), numbers(100)[:, :1]]), torch.ones(102))
    assert torch.equal(draws.log_boosted(0, *gamma, 10.0), draws.between(0, *map(math.log, gamma)).exp())


def test_autocontrast_reaches_from_black_to_white_and_leaves_one_grey() -> None:
    images, masks, fractured = pictures(2)
    images[1] = 0.4
    stretched = augment(images, masks, fractured, numbers(2), only(autocontrast=1.0))[0]
    assert stretched[0].min() == 0
    assert stretched[0].max() == 1
    assert torch.equal(stretched[1], images[1])


def test_blur_spreads_a_point_by_its_sigma_and_keeps_the_sum() -> None:
    point = torch.zeros(2, 1, 33, 33)
    point[:, :, 16, 16] = 1
    blurred = augmentations.blur_slightly(point, Draws(torch.tensor([[0.0], [1.0]]), torch.ones(2)), AugmentConfig())
    assert torch.allclose(blurred.sum((1, 2, 3)), torch.ones(2), atol=1e-5)
    distance = (torch.arange(33) - 16.0) ** 2
    spread = [float((image.sum(1) * distance).sum()) ** 0.5 for image in blurred]
    assert spread[0] < 0.35
    assert 1.3 < spread[1] < 1.5
    assert torch.equal(blurred, blurred.transpose(2, 3))


def test_noise_is_normal_up_to_its_sigma_and_another_one_for_each_seed() -> None:
    halves = torch.full((200, 1, 64, 64), 0.5)
    changed = augment(halves, halves, torch.zeros(200), numbers(200), only(noise_chance=1.0, noise=0.06))[0]
    sigmas = changed.flatten(1).std(1)
    assert sigmas.max() < 0.063
    assert 0.025 < sigmas.mean() < 0.035
    assert abs(float(changed.mean()) - 0.5) < 1e-3
    noise = augmentations.gaussian_noise(torch.tensor([0, 1, 2**24 - 1], dtype=torch.int32).view(3, 1, 1, 1), 256, 256)
    assert torch.allclose(noise.mean((1, 2, 3)), torch.zeros(3), atol=0.02)
    assert torch.allclose(noise.std((1, 2, 3)), torch.ones(3), atol=0.02)
    assert abs(float((noise.abs() < 1).float().mean()) - 0.6827) < 0.01
    streams = [noise[0], noise[1], noise[2], noise[0].roll(1, 1), noise[0].roll(1, 2)]
    assert all(abs(float((one * other).mean())) < 0.02 for one, other in itertools.combinations(streams, 2))


def test_a_cutout_blanks_its_share_inside_the_image() -> None:
    ones = torch.ones(300, 1, 100, 100)
    changed = augment(ones, ones, torch.zeros(300), numbers(300), only(cutout_chance=1.0, cutout=(0.08, 0.2)))[0]
    blank = changed == 0
    shares = blank.flatten(1).float().mean(1)
    assert 0.07 < shares.min() < 0.1
    assert 0.18 < shares.max() < 0.21
    rows, columns = blank.any(3).sum(2), blank.any(2).sum(2)
    assert torch.equal(rows * columns, blank.sum((2, 3))), "one rectangle, its rows and columns whole"
    everything = augment(ones, ones, torch.zeros(300), numbers(300), only(cutout_chance=1.0, cutout=(1.0, 1.0)))[0]
    assert everything.max() == 0


def batch(count: int, side: int = 64) -> Batch:
    images, masks, fractured = pictures(count, side)
    return Batch((images * 255).byte(), masks.bool(), fractured, torch.arange(count), numbers(count))


def test_a_batch_comes_to_the_network_as_floats_between_0_and_1() -> None:
    given = batch(4)
    image, mask, fractured = on_device(given, torch.device("cpu"), only())
    assert torch.equal(image, given.image.float() / 255)
    assert torch.equal(mask, given.mask.float())
    assert torch.equal(fractured, given.fractured)


def test_a_fracture_that_leaves_the_picture_takes_its_label_along() -> None:
    given = batch(200)
    config = only(affine_chance=1.0, rotate=180.0, scale=0.9, translate=0.5)
    _, mask, fractured = on_device(given, torch.device("cpu"), config)
    assert torch.equal(fractured, mask.amax((1, 2, 3)))
    assert 0 < fractured.sum() < given.fractured.sum()
    unmarked = given._replace(mask=torch.zeros_like(given.mask))  # of a classifier's set: labels without masks
    assert torch.equal(on_device(unmarked, torch.device("cpu"), config)[2], given.fractured)


def test_everything_runs_on_a_card_without_waiting_for_it() -> None:
    with fake_cuda():
        given = Batch(
            torch.zeros(4, 1, 64, 64, dtype=torch.uint8), torch.zeros(4, 1, 64, 64, dtype=torch.bool),
            torch.ones(4), torch.arange(4), torch.rand(4, NUMBERS),
        )  # fmt: skip
        image, mask, fractured = on_device(given, torch.device("cuda"), AugmentConfig(**EVERYTHING))
        assert image.device.type == mask.device.type == fractured.device.type == "cuda"
        assert image.shape == mask.shape == (4, 1, 64, 64)
        assert image.dtype == mask.dtype == fractured.dtype == torch.float32


def test_every_chance_of_the_config_belongs_to_one_augmentation() -> None:
    chances = [augmentation.chance for augmentation in AUGMENTATIONS]
    assert sorted(chances) == sorted(NOTHING)
    assert set(EVERYTHING) | set(NOTHING) == set(AugmentConfig.model_fields)
