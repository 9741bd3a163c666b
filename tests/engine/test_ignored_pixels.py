"""Pixels that a mask marks as ignored (grey 128) count in neither loss, metrics nor counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.data.images import IGNORED, IGNORED_COMMENT, read_labels, read_mask
from engine.data.inputs import load_inputs
from engine.data.manifest import Sample
from engine.data.resize import mask_to_input
from engine.evaluation.metrics import segmentation_metrics
from engine.evaluation.scores import score_split

SIDE = 64


def greys() -> np.ndarray:
    """A fracture (255) beside an ignored area (128)."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[8:24, 8:24], mask[32:60, 32:60] = 255, 128
    return mask


def make_samples(folder: Path, mask: np.ndarray | None = None) -> list[Sample]:
    image = np.random.default_rng(1).integers(1, 255, (SIDE, SIDE)).astype(np.uint8)
    Image.fromarray(image).save(folder / "a.png")
    Image.fromarray(greys() if mask is None else mask).save(folder / "m.png")
    return [
        Sample("a", folder / "a.png", folder / "m.png", True, "val"),
        Sample("b", folder / "a.png", None, False, "val"),
    ]


def test_128_in_a_mask_of_0_128_and_255_is_ignored(tmp_path: Path) -> None:
    make_samples(tmp_path)
    labels = read_labels(tmp_path / "m.png")
    assert labels.dtype == np.int8
    assert np.array_equal(labels == IGNORED, greys() == 128)
    assert np.array_equal(read_mask(tmp_path / "m.png"), greys() == 255)


def test_128_alone_is_the_fracture_unless_the_files_comment_says_ignored(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    grey = np.where(greys() == 128, 128, 0).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "m.png")
    assert np.array_equal(read_labels(tmp_path / "m.png"), grey == 128)
    comment = PngInfo()
    comment.add_text("Comment", IGNORED_COMMENT)
    Image.fromarray(grey).save(tmp_path / "m.png", pnginfo=comment)
    assert np.array_equal(read_labels(tmp_path / "m.png"), np.where(grey == 128, IGNORED, 0))


def test_ignored_pixels_are_resized_by_nearest_and_the_finest_fracture_stays() -> None:
    labels = np.zeros((256, 256), np.int8)
    labels[:, 128:] = IGNORED
    labels[7, 200] = 1
    small = mask_to_input(labels, 32, keep_aspect=False)
    assert (small[:, :16] == 0).all()
    assert (small == 1).sum() == 1
    assert (small == IGNORED).sum() == 32 * 16 - 1


@pytest.mark.parametrize("keep_aspect", [False, True])
def test_a_prediction_inside_an_ignored_area_changes_no_figure(tmp_path: Path, keep_aspect: bool) -> None:
    samples = make_samples(tmp_path)
    thresholds = np.array([0.25, 0.5])

    def scores(inside: float, size: int) -> object:
        content = np.random.default_rng(2).random((size, size)).astype(np.float32) * 0.9
        content[36 * size // SIDE : 56 * size // SIDE, 36 * size // SIDE : 56 * size // SIDE] = inside
        split = score_split(samples[:1], lambda *_: content, size, keep_aspect, thresholds, None, "val")
        return (
            segmentation_metrics(split.native.at(1)),
            segmentation_metrics(split.input.at(1)),
            {name: values.tolist() for name, values in split.presence.items()},
            split.presence_scores("pred_area", 1).tolist(),
            split.native.pixels.tolist(),
        )

    for size in (SIDE, SIDE // 2):
        assert scores(0.0, size) == scores(1.0, size)
    assert scores(1.0, SIDE)[-1] == [SIDE * SIDE - 28 * 28]


def test_the_cache_keeps_ignored_pixels(tmp_path: Path) -> None:
    samples = make_samples(tmp_path)
    for _ in range(2):
        masks = load_inputs(samples, SIDE, False, tmp_path / "manifest.csv", "val").masks
        assert np.array_equal(masks[0], np.select([greys() == 255, greys() == 128], [1, IGNORED]))
        assert not masks[1].any()
    assert np.array_equal(load_inputs(samples, SIDE, False, None, "val").masks, masks)


def test_an_image_that_is_ignored_as_a_whole_has_finite_figures(tmp_path: Path) -> None:
    mask = np.full((SIDE, SIDE), 128, np.uint8)
    mask[0, 0] = 255
    samples = make_samples(tmp_path, mask)
    content = np.ones((SIDE, SIDE), np.float32)
    split = score_split(samples, lambda *_: content, SIDE, False, np.array([0.5]), None, "val")
    assert split.native.tp[0, 0] == split.native.pixels[0] == 1
    assert all(np.isfinite(value) for value in segmentation_metrics(split.native.at(0)).values())


def test_a_batch_carries_them_through_the_augmentation(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from engine.contract.augment import AugmentConfig
    from engine.data.batches import TrainingSamples, on_device

    inputs = load_inputs(make_samples(tmp_path), SIDE, False, None, "val")
    batch = TrainingSamples(inputs)[[(0, 1), (1, 2)]]
    config = AugmentConfig(hflip=1.0, vflip=0.0, affine_chance=1.0)
    _, mask, fractured = on_device(batch, torch.device("cpu"), config)
    assert set(mask.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert fractured.tolist() == [1.0, 0.0]


def test_a_blend_is_searched_without_them(tmp_path: Path) -> None:
    from engine.blending.members import Members
    from engine.blending.search import _score_grid
    from engine.evaluation.predictions import Predictions

    samples = tuple(make_samples(tmp_path))
    ignored = greys() == 128
    found = []
    for inside in (0, 65535):
        levels = np.random.default_rng(3).integers(0, 60000, (2, 2, SIDE, SIDE)).astype(np.uint16)
        levels[:, 0, ignored] = inside
        members = Members(tuple(Predictions(samples, of_member, None, False, "", "cpu") for of_member in levels))
        scored = _score_grid(members, [(0.5, 0.5)], np.array([0.0, 0.5]))
        assert scored.areas["pred_area"][0, :, 0].tolist() == [1.0, 1.0]  # of the counted pixels
        found.append((scored.counts, *scored.maps.values(), *scored.areas.values(), members.own_presence()))
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True))
